"""What became of a workflow or a drain, as one HTML file that needs nothing else."""

from podferry.report.drain import drain_report
from podferry.report.workflow import workflow_report

__all__ = ["drain_report", "workflow_report"]
