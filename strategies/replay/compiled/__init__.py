"""The part of the replay that numba compiles; importing its modules imports numba, but `layout` and `steps`."""

__all__: list[str] = []
