"""Credit: what peers may send again when it is durable what they sent before."""

from collections.abc import Mapping

from crdtstore.links.serving import LinkState


class Credit:
    """Bytes that links are owed, by the commit that makes durable what they brought."""

    def __init__(self) -> None:
        self._unreleased: list[tuple[int, int]] = []
        self._releasing: list[tuple[int, int]] = []

    @property
    def owed_bytes(self) -> dict[int, int]:
        """The bytes that each link is owed, by its number."""
        owed: dict[int, int] = {}
        for number, size in (*self._unreleased, *self._releasing):
            owed[number] = owed.get(number, 0) + size
        return owed

    def owe(self, number: int, size: int) -> None:
        """Owe a link credit, until the commit that begins next is durable."""
        self._unreleased.append((number, size))

    def commit_begun(self) -> None:
        """Take note that a commit has begun, of all that came so far."""
        self._releasing, self._unreleased = self._unreleased, []

    def commit_finished(self, links: Mapping[int, LinkState]) -> None:
        """Give credit back for what the commit made durable."""
        releasing, self._releasing = self._releasing, []
        for number, size in releasing:
            if number in links:
                links[number].session.release(size)

    def forget(self) -> None:
        """Owe nobody anything: the links begin anew."""
        self._unreleased, self._releasing = [], []
