"""The reader of Thrift's compact protocol gives what was written, and refuses everything else by one error."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.bars.parquet.thrift import BINARY, I32, I64, LIST, STRUCT, Damaged, Struct, read_struct

TRUE, FALSE, BYTE, I16, DOUBLE, SET, MAP = 1, 2, 3, 4, 7, 10, 11


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def zigzag(number):
    return varint(number * 2 if number >= 0 else -number * 2 - 1)


def written(kind, value):
    """Return a value's bytes, by the protocol's specification."""
    if kind in (TRUE, FALSE, BYTE):
        return bytes([value])
    if kind in (I16, I32, I64):
        return zigzag(value)
    if kind == BINARY:
        return varint(len(value)) + value
    if kind == DOUBLE:
        return value
    if kind == STRUCT:
        return struct(value)
    head, values = value
    size = (
        bytes([len(values) << 4 | head]) if len(values) < 15 else bytes([0xF0 | head]) + varint(len(values))
    )
    return size + b"".join(written(head, element) for element in values)


def struct(fields):
    """Return the bytes of fields [(number, kind, value)]."""
    out, before = b"", 0
    for number, kind, value in fields:
        kind, body = ((TRUE if value else FALSE), b"") if kind == TRUE else (kind, written(kind, value))
        step = number - before
        out += bytes([step << 4 | kind]) if 0 < step < 16 else bytes([kind]) + zigzag(number)
        out, before = out + body, number
    return out + b"\0"


def plain(kind, value):
    """Return the value as the reader should give it."""
    if kind == STRUCT:
        return {(number, k if k != TRUE else (TRUE if v else FALSE)): plain(k, v) for number, k, v in value}
    return [plain(value[0], element) for element in value[1]] if kind in (LIST, SET) else value


def numbers(bits):
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


SIMPLE = {
    I16: numbers(16),
    I32: numbers(32),
    I64: numbers(64),
    BINARY: st.binary(max_size=200),
    DOUBLE: st.binary(min_size=8, max_size=8),
}


def of_kind(inner):
    kinds = st.sampled_from(sorted(inner))
    lists = kinds.flatmap(lambda kind: st.tuples(st.just(kind), st.lists(inner[kind], max_size=20)))
    field = st.sampled_from([*sorted(inner), TRUE]).flatmap(
        lambda kind: st.tuples(st.just(kind), inner.get(kind, st.booleans()))
    )
    fields = st.lists(st.tuples(st.integers(1, 40), field), max_size=6, unique_by=lambda pair: pair[0])
    structs = fields.map(lambda pairs: [(number, *rest) for number, rest in pairs])
    return {LIST: lists, SET: lists, STRUCT: structs}


DEEP = {**SIMPLE, **of_kind({**SIMPLE, **of_kind(SIMPLE)})}


@given(DEEP[STRUCT], st.binary(max_size=5), st.binary(max_size=5))
def test_what_was_written_is_read(fields, before, after):
    content = before + struct(fields) + after
    found, end = read_struct(content, len(before))
    assert found == plain(STRUCT, fields)
    assert end == len(content) - len(after)


@given(DEEP[STRUCT])
def test_a_struct_that_is_cut_off_is_refused(fields):
    whole = struct(fields)
    for size in range(len(whole)):
        with pytest.raises(Damaged):
            read_struct(whole[:size], 0)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_struct_or_refused(content):
    try:
        found, end = read_struct(content, 0)
    except Damaged:
        return
    assert isinstance(found, Struct)
    assert 0 < end <= len(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x1c" * 100_000, "without end"),
        (b"\x19\x9c" * 100_000, "without end"),
        (b"\x19\xfc" + varint(500_000) + b"\0" * 500_001, "without end"),
        (b"\x19\xf5" + varint(2**34), "longer than the file"),
        (b"\x18" + varint(2**60), "longer than the file"),
        (b"\x1b" + varint(2**34), "longer than the file"),
        (b"\x15" + b"\xff" * 20, "number without end"),
        (b"\x15" + varint(2**32) + b"\0", "more than 32 bits"),
        (b"\x16" + varint(2**64) + b"\0", "more than 64 bits"),
        (b"\x1d\0", "unknown kind 13"),
        (b"", "not complete"),
    ],
)
def test_hostile_bytes_are_refused_in_no_time_and_memory(content, message):
    with pytest.raises(Damaged, match=message):
        read_struct(content, 0)


def test_a_map_is_read_as_pairs():
    content = b"\x1b\x02\x85" + b"\x01a" + zigzag(7) + b"\x01b" + zigzag(-7) + b"\0"
    assert read_struct(content, 0)[0] == {(1, MAP): [(b"a", 7), (b"b", -7)]}
    assert read_struct(b"\x1b\x00\x00", 0)[0] == {(1, MAP): []}


def test_a_field_that_is_missing_or_of_another_kind_is_told():
    found, _ = read_struct(struct([(3, I32, 5), (4, LIST, (I32, [1]))]), 0)
    assert found[3, I32] == 5
    with pytest.raises(Damaged, match="lacks field 3"):
        found[3, I64]
    with pytest.raises(Damaged, match="field 4 is no list of structs"):
        found.structs((4, LIST))


def test_a_footer_says_what_pyarrow_says():
    table = pa.table({"a": pa.array(range(1000)), "b": pa.array([0.5] * 1000)})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=300, compression="zstd")
    content = sink.getvalue().to_pybytes()
    footer, end = read_struct(content, len(content) - 8 - int.from_bytes(content[-8:-4], "little"))
    assert end == len(content) - 8
    theirs = pq.read_metadata(pa.BufferReader(content))
    assert footer[3, I64] == theirs.num_rows == 1000
    groups = footer.structs((4, LIST))
    assert [group[3, I64] for group in groups] == [300, 300, 300, 100]
    for number, group in enumerate(groups):
        for position, chunk in enumerate(group.structs((1, LIST))):
            column, meta = theirs.row_group(number).column(position), chunk[3, STRUCT]
            assert meta[9, I64] == column.data_page_offset
            assert meta.get((11, I64)) == column.dictionary_page_offset
            assert meta[7, I64] == column.total_compressed_size
            assert meta[5, I64] == column.num_values
