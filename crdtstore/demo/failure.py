"""DemoFailed: the demo did not go as it must, and says why."""


class DemoFailed(Exception):
    """A replica did not start or answer, or the replicas did not converge or do not add up."""
