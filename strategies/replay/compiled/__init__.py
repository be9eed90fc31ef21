"""The part of the replay that numba compiles; importing its modules imports numba, but `columns`, `layout`, `steps`."""

__all__: list[str] = []
