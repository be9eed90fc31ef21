"""The exchange is asked only when somebody says so."""

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what needs the exchange unless the command line selects it by `-m online`."""
    if "online" in config.option.markexpr:
        return
    for item in items:
        if item.get_closest_marker("online"):
            item.add_marker(pytest.mark.skip(reason="asks the exchange; select it with -m online"))
