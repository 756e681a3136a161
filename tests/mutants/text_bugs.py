"""The bugs of texts and lists: in their join, in the scan of updates, in trails and epochs."""

from typing import Final

from tests.mutants.bug import Bug

TEXT_BUGS: Final = (
    Bug(
        "text: a contest is not seen",
        "what was written twice under one id stays as each replica heard of it first",
        "engine/texts.py",
        "        return self._texts.get(profile_id, document, name).contest(given)\n",
        "        return None\n",
    ),
    Bug(
        "text: a contest about places is not seen",
        "an element stands where the replica's first history has it",
        "model/contests.py",
        "            if mine.right not in (None, other.right):\n",
        "            if mine is other:\n",
        (
            (
                "model/contests.py",
                "                lefts.add(start)\n",
                "                lefts.discard(start)\n",
            ),
        ),
    ),
    Bug(
        "text: half a character is contested",
        "one replica keeps the other half of it",
        "model/contests.py",
        "            spans = _whole_characters(spans, (*known, *blocks))\n",
        "            spans = _united(spans)\n",
    ),
    Bug(
        "text: guests read in the order of arrival",
        "elements that no honest client writes stand elsewhere at each replica",
        "model/texts.py",
        "                    whole = normal_form(whole, self.kind)\n",
        "                    whole = bytes(whole)\n",
    ),
    Bug(
        "text: the scan lets a gap pass",
        "native code waits for what never comes, and forgets it",
        "model/updates.py",
        "        if given[0].clock > known:\n",
        "        if given[0].clock > known + 1:\n",
    ),
    Bug(
        "text: the scan lets deletions of the future pass",
        "what its victim is about to write is deleted",
        "model/updates.py",
        "        if ranges[-1][0] + ranges[-1][1] > reached.get(client, 0):\n",
        "        if ranges[-1][0] > reached.get(client, 0):\n",
    ),
    Bug(
        "text: the scan lets a character be cut",
        "native code makes blocks of no length, and replicas differ",
        "model/updates.py",
        "    _check_whole_characters(fitted, pairs)\n",
        "    assert pairs is not None\n",
    ),
    Bug(
        "text: the scan lets a client come twice",
        "the second part takes the place of the first",
        "model/updates.py",
        "        if client in blocks or not count:\n",
        "        if not count:\n",
    ),
    Bug(
        "text: the scan lets another root pass",
        "an update writes where nobody reads",
        "model/updates.py",
        "reader.take(reader.number()) != root)\n",
        "not reader.take(reader.number()))\n",
    ),
    Bug(
        "text: what is known goes in once more",
        "an update is told and kept with what all have already",
        "model/updates.py",
        "            if block.clock + block.length > known\n",
        "            if block.clock + block.length >= known\n",
    ),
    Bug(
        "text: a row of another epoch",
        "a revived profile shows the text that was erased",
        "engine/texts.py",
        "        if found is not None and found[0] == document.epoch:\n",
        "        if found is not None and found[0] <= document.epoch:\n",
    ),
    Bug(
        "text: one client for all epochs",
        "a text that is begun anew has the ids of the one that was erased",
        "model/texts.py",
        '    name = origin.to_bytes(8, "big") + epoch.to_bytes(8, "big")\n',
        '    name = origin.to_bytes(8, "big") + bytes((epoch < 0,)) * 8\n',
    ),
    Bug(
        "text: an edit that is not counted",
        "a trail says that there were fewer edits, and the history leaves them out",
        "model/text_write.py",
        "    number = 1 if trail is None else trail[2] + 1\n",
        "    number = 1 if trail is None else trail[2]\n",
    ),
    Bug(
        "text: what a repair brought is not carried on",
        "the next edit stands beside what third replicas never hear of",
        "model/texts.py",
        "            self.carries_all = True\n",
        "            self.carries_all = self.carries_all or False\n",
    ),
    Bug(
        "text: what waits for a repair is dropped",
        "edits that came for a damaged text are lost",
        "model/texts.py",
        "            self.parked = (*self.parked, raw)\n",
        "            self.parked = self.parked\n",
    ),
    Bug(
        "text: undone, and still there",
        "a refused batch leaves its edit in the text",
        "model/texts.py",
        "        del self.parts[length:]\n",
        "        del self.parts[length + 1 :]\n",
    ),
)
"""All of them; their names begin with "text: ", so that ``--only text:`` runs them."""
