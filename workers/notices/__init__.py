"""Reclaim notices: whoever owns a machine says that he takes it back, and its host is drained."""
