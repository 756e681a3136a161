"""The bugs: each a small edit that a tired person could make, and what it breaks."""

from typing import Final

from tests.mutants.bug import Bug
from tests.mutants.text_bugs import TEXT_BUGS

BUGS: Final = (
    Bug(
        "tie-break dropped",
        "two sources of one timestamp: the first to arrive stays, and replicas differ",
        "model/cells.py",
        "        return bool(new[1] > old[1])\n",
        "        return False\n",
    ),
    Bug(
        "tally joined by value",
        "a counter that is decremented comes back up",
        "model/cells.py",
        "    if new[0] != old[0]:\n        return bool(new[0] > old[0])\n",
        "    if type(new[2]) is int and type(old[2]) is int and new[2] != old[2]:\n"
        "        return bool(new[2] > old[2])\n"
        "    if new[0] != old[0]:\n        return bool(new[0] > old[0])\n",
    ),
    Bug(
        "maxima joined by the newcomer",
        "an old copy of a set's cell undoes a newer add or remove",
        "model/cells.py",
        "        removed = one[1] if one[1] > other[1] else other[1]\n",
        "        removed = other[1]\n",
    ),
    Bug(
        "epoch forgotten in joins",
        "a late write brings an erased person back",
        "model/document.py",
        "        if epoch < document.epoch:\n            return False\n",
        "        if epoch < document.epoch - 1:\n            return False\n",
    ),
    Bug(
        "remove removes all",
        "a remove takes away adds that it never saw",
        "model/write.py",
        "        if parsed.element in removes:\n            delta[key] = (cell[0], cell[0])\n",
        "        if parsed.element in removes:\n"
        "            delta[key] = (cell[0], context.timestamp)\n",
    ),
    Bug(
        "counter without its past",
        "an increment stores itself, not the running sum",
        "model/write.py",
        "    partial = amount if old is None else old[2] + amount\n",
        "    partial = amount\n",
    ),
    Bug(
        "counter in one slot",
        "all origins share the slot of a counter, and the newest partial wins",
        "model/write.py",
        "    key = counter_key(field, context.source, context.origin)\n",
        "    key = counter_key(field, context.source, 1)\n",
    ),
    Bug(
        "trait without its past",
        "what is folded in replaces the partial",
        "model/traits.py",
        "            payload = fold.unite(present, payload, options)\n",
        "            pass\n",
    ),
    Bug(
        "trait of one origin",
        "readers see one of the partials",
        "model/traits.py",
        "            united = united._replace(payload=payload)\n",
        "            pass\n",
    ),
    Bug(
        "revocation counted as seen",
        "a concurrent grant wins over a revocation",
        "model/write.py",
        "            old = context.document.cells.get(key, (0, 0))\n"
        "            delta[key] = (context.timestamp, old[1])\n        case EditText()",
        "            delta[key] = (context.timestamp, context.timestamp)\n        case EditText()",
    ),
    Bug(
        "dependencies not checked",
        "an effect is seen before its cause",
        "sync/inbox.py",
        "    return all(vector.get(origin, 0) >= sequence "
        "for origin, sequence in dependencies.items())\n",
        "    return True\n",
    ),
    Bug(
        "dependencies not recorded",
        "a frame does not say what its writer had seen",
        "engine/drafting.py",
        "        self._dependencies[frame.origin] = frame.sequence\n",
        "",
    ),
    Bug(
        "vector advanced over a gap",
        "a frame is applied though the one before it is missing",
        "engine/replication.py",
        "        if frame.sequence == head[0] + 1 and is_covered(dependencies, vector):\n",
        "        if frame.sequence > head[0] and is_covered(dependencies, vector):\n",
        (
            (
                "engine/drafting.py",
                "        assert frame.sequence == head[0] + 1, (frame.sequence, head[0])\n"
                "        if frame.previous_hash != head[1]:\n",
                "        if frame.sequence == head[0] + 1 and frame.previous_hash != head[1]:\n",
            ),
        ),
    ),
    Bug(
        "acknowledged before the sync",
        "writers are answered while their commit is on its way to the disk",
        "group_commit.py",
        "        error = await self._persist(commit, ",
        "        _answer(waiters, None)\n        error = await self._persist(commit, ",
    ),
    Bug(
        "sent before it is durable",
        "peers are sent records that a crash may still take back",
        "engine/ledger.py",
        "            return [record for record in found if record[0] <= self.position]\n",
        "            return found\n",
    ),
    Bug(
        "failed commit not undone",
        "what was refused for a full disk stays in memory",
        "engine/drafting.py",
        "            undo_all(draft.undo)\n",
        "",
    ),
    Bug(
        "checkpoint noted at its end",
        "a recovery begins behind what is not at rest",
        "engine/commits.py",
        '                meta["checkpoint"] = self._next_mark.pack()\n',
        "                self._next_mark = self._next_mark._replace(\n"
        "                    position=self._ledger.position + len(draft.records),\n"
        "                    heads=dict(self._ledger.heads),\n"
        "                )\n"
        "                settlement.completed = self._next_mark\n"
        '                meta["checkpoint"] = self._next_mark.pack()\n',
    ),
    Bug(
        "causes forgotten at a restart",
        "the first frame of a process does not say what its writers had seen",
        "engine/drafting.py",
        "        self._dependencies = ledger.durable_of_others(origin)\n\n    @property\n",
        "        self._dependencies: Vector = {}\n\n    @property\n",
    ),
    Bug(
        "recovery forgets documents",
        "frames of the journal count as applied after a crash, and are not",
        "engine/recovery.py",
        "        if absorb(document, epoch, cells, undo):\n",
        "        if document.size_bytes < 0 and absorb(document, epoch, cells, undo):\n",
    ),
    Bug(
        "snapshot without what is dirty",
        "documents at rest are given with the vector of what is not at rest",
        "links/giving.py",
        "        self._dirty = replication.healing.dirty_after(after)\n",
        "        self._dirty = []\n",
    ),
    Bug(
        "resumed snapshot stands for the newer vector",
        "what was received from the first peer counts as all that the second one has",
        "sync/vector.py",
        "    return {origin: min(head, other[origin]) "
        "for origin, head in one.items() if origin in other}\n",
        "    return {**one, **other}\n",
    ),
    Bug(
        "trimmed journal served",
        "a peer that was away too long gets the rest, with a gap",
        "engine/ledger.py",
        "            if max(self.floor.get(origin, 0), self.resting.sequence(origin)) > sequence:\n"
        "                return None\n"
        "        if all(",
        "            if sequence < 0:\n                return None\n        if all(",
    ),
    Bug(
        "old origin after a restore",
        "a copy goes on under the identity of its original",
        "engine/identity.py",
        "    is_same = known.fingerprint == storage.fingerprint and not is_restored\n",
        "    is_same = True\n",
    ),
    Bug(
        "clock forgets what it saw",
        "a write after an applied frame is stamped below it, and loses to its own past",
        "engine/drafting.py",
        "had not seen\n        self._clock.observe(frame.timestamp)\n",
        "had not seen\n",
    ),
    Bug(
        "links taken as they come",
        "persons depend on the order in which identifiers arrived",
        "model/persons.py",
        "        entries = sorted(\n",
        "        entries = list(\n",
    ),
    Bug(
        "identifiers left at rest",
        "the index forgets what a document got when it is brought to rest",
        "engine/identifiers.py",
        "True) for text in after - before]\n",
        "True) for text in after & before]\n",
    ),
    Bug(
        "a merge that parts others",
        "a steward's match takes the room of one that was there",
        "engine/edges.py",
        "    if not set(after.profiles) >= {*one, *other}:\n",
        "    if other_id not in after.profiles:\n",
    ),
    *TEXT_BUGS,
)
"""Every bug. The names are what is shown; none may survive."""
