"""Collaborative fields over HTTP: edits are operations, and a text is read in three ways."""

from crdtstore.schema import Field, Schema

SCHEMA = Schema(fields={"notes": Field("text"), "tasks": Field("list"), "email": Field()})
NOTES = "/v1/profiles/ann/texts/notes"
TASKS = "/v1/profiles/ann/texts/tasks"


def test_a_text_is_edited_and_read_as_string_delta_and_history(serve):
    async def scenario(api):
        await api.write("ann", notes={"edit_text": [{"insert": "Hello 😀 world"}]})
        edit = [{"retain": 8}, {"delete": 5}, {"insert": "Ann", "attributes": {"bold": True}}]
        result = await api.write("ann", notes={"edit_text": edit})
        assert result["changed"] == ["notes"]
        edit = [{"retain": 6}, {"delete": 2}, {"insert": "you"}]
        await api.write("ann", notes={"edit_text": edit, "unit": "utf-16"})
        answer = await api.json("GET", NOTES)
        assert answer["value"] == "Hello you Ann"
        assert answer["kind"] == "text"
        assert answer["delta"] == [
            {"insert": "Hello you "},
            {"insert": "Ann", "attributes": {"bold": True}},
        ]
        profile = await api.json("GET", "/v1/profiles/ann")
        assert profile["fields"] == {"notes": "Hello you Ann"}
        assert profile["version"] == answer["version"]
        history = await api.json("GET", f"{NOTES}/history")
        assert [(e["source"], e["inserted"], e["deleted"]) for e in history["edits"]] == [
            ("crm", 3, 2),
            ("crm", 3, 5),
            ("crm", 14, 0),
        ]
        page = await api.json("GET", "/v1/profiles")
        assert page["profiles"][0]["fields"] == {"notes": "Hello you Ann"}

    serve(scenario, schema=SCHEMA)


def test_a_list_is_edited_step_by_step(serve):
    async def scenario(api):
        items = [1, "two", {"$bytes": "AA=="}, [None]]
        steps = [{"at": 0, "insert": items}, {"at": 0, "move": 3}, {"at": 2, "delete": 1}]
        await api.write("ann", tasks={"edit_list": steps})
        answer = await api.json("GET", TASKS)
        assert answer == {
            "id": "ann",
            "version": answer["version"],
            "field": "tasks",
            "kind": "list",
            "value": ["two", {"$bytes": "AA=="}, 1],
        }

    serve(scenario, schema=SCHEMA)


def test_what_does_not_fit_is_a_problem(serve):
    async def scenario(api):
        await api.problem(404, "profile-not-found", "GET", NOTES)
        await api.write("ann", notes={"edit_text": [{"insert": "Hello"}]}, email="ann@example.com")
        path = "/v1/profiles/ann"
        await api.problem(409, "kind-conflict", "GET", f"{path}/texts/email")
        await api.problem(422, "invalid-name", "GET", f"{path}/texts/%01")
        for operation in (
            {"edit_text": [{"retain": 9}, {"insert": "x"}]},
            {"edit_text": "x"},
            {"edit_text": [], "unit": "bytes"},
            {"unit": "utf-16"},
            {"edit_text": [], "set": 1},
        ):
            body = {"source": "crm", "fields": {"notes": operation}}
            await api.problem(422, "invalid-operation", "PATCH", path, json=body)
        body = {"source": "crm", "fields": {"notes": "a plain text"}}
        await api.problem(409, "kind-conflict", "PATCH", path, json=body)
        body = {"source": "crm", "fields": {"tasks": {"edit_list": [{"at": 1, "insert": [1]}]}}}
        await api.problem(422, "invalid-operation", "PATCH", path, json=body)

    serve(scenario, schema=SCHEMA)
