"""What visitors of a shop do: the events of the benchmark ``events``, from one seed.

Persons are drawn by Zipf's law, as the profiles of the other benchmarks; of their events 35 in 100
are pages, 40 views of products, 10 additions to the cart, 5 orders, 8 searches, 2 identifications.
"""

import bisect
import itertools
import json
import random
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks.workload import ZIPF_EXPONENT

TRAITS_FILE: Final = Path(__file__).parent / "data" / "event_traits.toml"

_CATEGORIES: Final = ("shoes", "hats", "coats", "books", "music", "games", "garden", "kitchen")
_COUPONS: Final = ("", "SPRING", "SUMMER", "AUTUMN", "WINTER")
_CONTEXT: Final = (
    '"context":{"library":{"name":"analytics.js","version":"2.11.1"},"locale":"de-DE",'
    '"ip":"203.0.113.9","userAgent":"Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101"}'
)


class Visitors:
    """Persons who do something: batches of what they do, each event with an id of its own."""

    def __init__(self, name: str, persons: int, seed: int) -> None:
        self._name = name
        self._draw = random.Random(seed)
        self._persons = list(range(persons))
        random.Random(persons).shuffle(self._persons)  # all clients have the same favourites
        weights = (1 / (rank + 1) ** ZIPF_EXPONENT for rank in range(persons))
        self._heaped = list(itertools.accumulate(weights))
        self._count = 0

    def batch(self, count: int) -> bytes:
        """Return the body of a request with so many events that happen now."""
        at = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds")
        heaped, draw = self._heaped, self._draw.random
        items = []
        for _ in range(count):
            person = self._persons[bisect.bisect_left(heaped, draw() * heaped[-1])]
            self._count += 1
            items.append(
                f'{{{self._act(draw())},"userId":"user-{person}","messageId":"'
                f'{self._name}-{self._count:012d}","timestamp":"{at}",{_CONTEXT}}}'
            )
        return f'{{"batch":[{",".join(items)}],"sentAt":"{at}"}}'.encode()

    def _act(self, share: float) -> str:
        """Return kind, name and properties of what somebody does, as the inside of an object."""
        number = int(share * 1e6)
        product, category = number % 5_000, _CATEGORIES[number % 8]
        price = 5 + number % 200
        if share < 0.35:
            return f'"type":"page","name":"Shop","properties":{{"path":"/{category}/{product}"}}'
        if share < 0.93:
            if share < 0.85:
                name = "Product Viewed" if share < 0.75 else "Product Added"
                said = f'"product_id":"p{product}","category":"{category}","price":{price}.9'
            else:
                name, said = "Products Searched", f'"query":"{category} {product % 50}"'
        elif share < 0.98:
            coupon = _COUPONS[number % 5]
            name, said = "Order Completed", f'"total":{price * 2}.5,"coupon":"{coupon}"'
        else:
            return f'"type":"identify","traits":{{"plan":"{category}","logins":{number}}}'
        return f'"type":"track","event":"{name}","properties":{{{said}}}'


def introductions(first: int, count: int) -> bytes:
    """Return the body of a request that introduces some persons."""
    batch = [
        {
            "type": "identify",
            "userId": f"user-{number}",
            "messageId": f"introduction-{number}",
            "traits": {"email": f"user-{number}@example.com", "plan": "free"},
        }
        for number in range(first, first + count)
    ]
    return json.dumps({"batch": batch}).encode()
