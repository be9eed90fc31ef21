"""What others see of a live run: its status, metrics and alerts. It reads the journal's records and cannot trade.

Only `metrics` needs a library; nothing here imports torch, pandas or an exchange, so that `scorenet status` is quick.
"""

from .status import RunStatus, read_status

__all__ = ["RunStatus", "read_status"]
