"""Parquet files whose headers say other sizes than their pages have."""

import struct

import pyarrow as pa
import pyarrow.parquet as pq


def varint(number):
    """Return a signed number as Thrift's compact protocol writes it."""
    number, content = number << 1 if number >= 0 else (-number << 1) - 1, b""
    while number > 127:
        content, number = content + bytes([number & 127 | 128]), number >> 7
    return content + bytes([number])


def read_varint(content, at):
    number = shift = 0
    while True:
        number, shift, at = number | (content[at] & 127) << shift, shift + 7, at + 1
        if content[at - 1] < 128:
            return (number >> 1) ^ -(number & 1), at


def with_page_size(path, stated):
    """Rewrite a file of one row group, without dictionaries: the last page states another unpacked size."""
    content, last = path.read_bytes(), pq.read_metadata(path).row_group(0)
    column = last.column(last.num_columns - 1)
    begin = column.data_page_offset
    _, size = read_varint(content, begin + 1)
    _, end = read_varint(content, size + 1)
    header = content[begin : size + 1] + varint(stated)
    grown = len(header) - (end - begin)
    changed = content[:begin] + header + content[end:]
    # The column is longer by as much as its header.
    size = column.total_compressed_size
    path.write_bytes(with_number(changed, size, size + grown, numbers_in_footer(changed, size) - 1))


def numbers_in_footer(content, number):
    """Return how many places of the footer say a number."""
    return len(content[footer_of(content) : -8].split(varint(number))) - 1


def with_number(content, before, now, place):
    """Return a file in which one place of the footer, counted from 0, says `now` in place of `before`."""
    footer, old = footer_of(content), varint(before)
    parts = content[footer:-8].split(old)
    body = old.join(parts[: place + 1]) + varint(now) + old.join(parts[place + 1 :])
    return content[:footer] + body + struct.pack("<I", len(body)) + content[-4:]


def footer_of(content):
    return len(content) - 8 - struct.unpack("<I", content[-8:-4])[0]


def write_plain(path, bars, compression="zstd"):
    """Write bars without dictionaries and statistics, in one row group of one page a column."""
    table = pa.table({name: pa.array(bars[name].to_numpy()) for name in bars.columns})
    pq.write_table(
        table,
        path,
        compression=compression,
        use_dictionary=False,
        write_statistics=False,
        data_page_size=1 << 30,
        store_schema=False,
    )
