"""Model quality on held-out rows: score identities, explained variance, density estimates, two-sample tests."""

from .held_out import forward_report, gate_report, held_out_metrics, rank_report, score_report

__all__ = ["forward_report", "gate_report", "held_out_metrics", "rank_report", "score_report"]
