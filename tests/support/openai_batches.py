"""OpenAI's files and batches, for the test server in `openai_server.py`, as they are documented.

A batch is validated, in progress, finalized and completed: one step with each look at it.
"""

import json
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.support.openai_replies import Body, Call, Fault, built_reply, completion
from tests.support.openai_responses import Response, error_response, json_response, text_response

STATES = ("validating", "in_progress", "finalizing")


@dataclass
class Batches:
    """The Batch API of a server, and what was done with it.

    Args:
        replies: Returns the text of the reply to a request.
        faults: Returns what goes wrong with a request, or None: a content fault, or `400` for the error file.
        ends: How batches end, in order; the last one for all others: completed, failed, expired or cancelled.
        in_time: Number of requests that an expired or cancelled batch has answered.
        lose_answer: Whether the first answer about a new batch is lost, although the batch is there.
    """

    replies: Callable[[Call], str] = built_reply
    faults: Callable[[Call], Fault] = lambda call: None
    ends: tuple[str, ...] = ("completed",)
    in_time: int = 0
    lose_answer: bool = False
    files: dict[str, str] = field(default_factory=dict)
    batches: dict[str, Body] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def respond(self, method: str, path: str, data: bytes) -> Response | None:
        """Return the response to a request about files or batches; None if it is about something else."""
        parts = path.partition("?")[0].strip("/").split("/")[1:]
        with self.lock:
            match (method, *parts):
                case ("POST", "files"):
                    return json_response(200, self._file(_uploaded(data)))
                case ("GET", "files", name, "content"):
                    return text_response(200, self.files[name])
                case ("POST", "batches"):
                    return self._create(json.loads(data))
                case ("GET", "batches"):
                    page = {"object": "list", "data": list(self.batches.values()), "has_more": False}
                    return json_response(200, page)
                case ("GET", "batches", name):
                    return json_response(200, self._step(self.batches[name]))
        return None

    def _file(self, text: str) -> Body:
        name = f"file-{len(self.files)}"
        self.files[name] = text
        return {
            "id": name,
            "object": "file",
            "bytes": len(text),
            "created_at": 0,
            "filename": "x",
            "purpose": "batch",
        }

    def _create(self, body: Body) -> Response | None:
        assert body["endpoint"] == "/v1/chat/completions"
        assert body["completion_window"] == "24h"
        lines = [json.loads(line) for line in self.files[body["input_file_id"]].splitlines()]
        names = [line["custom_id"] for line in lines]
        assert len(names) == len(set(names)) <= 50_000
        assert all((line["method"], line["url"]) == ("POST", "/v1/chat/completions") for line in lines)
        assert len({line["body"]["model"] for line in lines}) == 1
        self.asked.update(names)
        batch = {
            "id": f"batch_{len(self.batches)}",
            "object": "batch",
            "created_at": 0,
            "status": STATES[0],
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
            **body,
        }
        self.batches[batch["id"]] = batch
        if self.lose_answer:
            self.lose_answer = False
            return error_response(502, "bad gateway")
        return json_response(200, batch)

    def _step(self, batch: Body) -> Body:
        if batch["status"] in STATES[:-1]:
            batch["status"] = STATES[STATES.index(batch["status"]) + 1]
        elif batch["status"] == STATES[-1]:
            number = int(batch["id"].partition("_")[2])
            self._end(batch, self.ends[min(number, len(self.ends) - 1)])
        return batch

    def _end(self, batch: Body, how: str) -> None:
        batch["status"] = how
        if how == "failed":
            words = "Enqueued token limit reached for tiny in organization org."
            error = {"code": "token_limit_exceeded", "message": words, "line": None, "param": None}
            batch["errors"] = {"object": "list", "data": [error]}
            return
        lines = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        done, failed = [], []
        # The order of the results is not that of the requests.
        for place, line in reversed(list(enumerate(lines))):
            if how in ("expired", "cancelled") and place >= self.in_time:
                words = "This request could not be executed before the completion window expired."
                failed.append(_row(line, None, {"code": f"batch_{how}", "message": words}))
                continue
            call = Call(line["body"], place, 0, {})
            fault = self.faults(call)
            if fault == "400":
                error = {"error": {"message": "too long", "type": "invalid_request_error", "code": "x"}}
                failed.append(_row(line, {"status_code": 400, "request_id": "r", "body": error}, None))
            else:
                body = completion(self.replies(call), fault, call)
                done.append(_row(line, {"status_code": 200, "request_id": "r", "body": body}, None))
        for key, rows in (("output_file_id", done), ("error_file_id", failed)):
            if rows:
                batch[key] = self._file("\n".join(rows) + "\n")["id"]
        batch["request_counts"] |= {"completed": len(done), "failed": len(failed)}


def _row(line: Body, response: Body | None, error: Body | None) -> str:
    return json.dumps({"id": "batch_req_1", "custom_id": line["custom_id"], "response": response, "error": error})


def _uploaded(data: bytes) -> str:
    """Return the file in a multipart form."""
    boundary = data.partition(b"\r\n")[0]
    parts = data.split(boundary)
    assert any(b'name="purpose"' in part and b"batch" in part for part in parts)
    (file,) = [part for part in parts if re.search(rb'name="file"', part)]
    return file.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n").decode()
