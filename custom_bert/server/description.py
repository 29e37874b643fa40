"""The description of the server for programs, in OpenAPI's form (https://spec.openapis.org/oas/v3.1.0)."""

from __future__ import annotations

import json
from typing import Any

from custom_bert import __version__
from custom_bert.server.bodies import MOST_EXPLAINED
from custom_bert.server.limits import EXPLAINED_CHARACTERS, Limits
from custom_bert.server.serving import Offer

REFUSALS = {
    "400": "The body is not JSON in UTF-8.",
    "401": "The token is missing or wrong.",
    "408": "The request did not come in time.",
    "413": "The body, the number of texts or the texts are too large.",
    "422": "The body has not the form that is read.",
    "429": "The queue is full. The header Retry-After says after how many seconds to try again.",
    "500": "A mistake of the server.",
    "501": "This model cannot answer that.",
    "503": "The request has waited too long, or the server is ending.",
    "504": "The answer took too long.",
}


def description(offer: Offer, limits: Limits, needs_token: bool) -> bytes:
    """Returns the description as JSON.

    Args:
        offer: what is served.
        limits: the most that is taken on.
        needs_token: whether requests have to bring the token.
    """
    posts: dict[str, Any] = {}
    if offer.predicts:
        posts["/predict"] = _post("Predict for texts", _texts(limits, offer.pairs, every=True), PREDICTIONS)
    if offer.explains:
        posts["/explain"] = _post(
            "Say which words of a text count for its label", _explain(offer.pairs), EXPLANATION
        )
    posts["/embed"] = _post(
        "Turn texts into vectors of length 1", _texts(limits, False, every=False), VECTORS
    )
    paths = {
        **{path: {"post": _secured(operation, needs_token)} for path, operation in posts.items()},
        "/health": {"get": _get("Whether the server answers", "application/json")},
        "/metrics": {"get": _secured(_get("Counts in Prometheus' format", "text/plain"), needs_token)},
    }
    value = {
        "openapi": "3.1.0",
        "info": {"title": "custom-bert serve", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": {"Error": _object({"error": {"type": "string"}}, ["error"])},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}} if needs_token else {},
        },
    }
    return json.dumps(value, indent=1).encode()


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _texts(limits: Limits, pairs: bool, *, every: bool) -> dict[str, Any]:
    """Returns the schema of a body with texts."""
    text: dict[str, Any] = {"type": "string"}
    item = {"type": "array", "items": text, "minItems": 2, "maxItems": 2} if pairs else text
    most = limits.texts // 2 if pairs else limits.texts
    properties: dict[str, Any] = {
        "texts": {
            "type": "array",
            "items": item,
            "maxItems": most,
            "description": f"At most {limits.characters:,} characters in all.",
        },
        "text": item,
    }
    if every:
        properties["probabilities"] = {
            "type": "boolean",
            "default": False,
            "description": "Whether the probability of every label is answered too.",
        }
    schema = _object(properties, [])
    return {**schema, "oneOf": [{"required": ["texts"]}, {"required": ["text"]}]}


def _explain(pairs: bool) -> dict[str, Any]:
    """Returns the schema of a request for an explanation."""
    text: dict[str, Any] = {"type": "string", "maxLength": EXPLAINED_CHARACTERS}
    properties = {
        "text": {"type": "array", "items": text, "minItems": 2, "maxItems": 2} if pairs else text,
        "label": {"type": "string", "description": "The label to explain; without it, what is predicted."},
        "most": {"type": "integer", "minimum": 0, "maximum": MOST_EXPLAINED, "default": 10},
    }
    return _object(properties, ["text"])


NUMBER, STRING = {"type": "number"}, {"type": "string"}
PLACE = {
    "start": {"type": "integer", "description": "The character at which it starts, from 0."},
    "end": {"type": "integer", "description": "The character after its last one."},
}
SPAN = _object(
    {**PLACE, "label": STRING, "score": NUMBER, "text": STRING}, ["start", "end", "label", "score", "text"]
)
UNIT = _object(
    {**PLACE, "probabilities": {"type": "object", "additionalProperties": NUMBER}},
    ["start", "end", "probabilities"],
)
PREDICTION = {
    "type": "object",
    "description": "label and probability; labels and probabilities; numbers; or spans",
    "properties": {
        "label": STRING,
        "probability": NUMBER,
        "labels": {"type": "array", "items": STRING},
        "probabilities": {"type": "object", "additionalProperties": NUMBER},
        "numbers": {"type": "array", "items": NUMBER},
        "spans": {"type": "array", "items": SPAN},
        "units": {"type": "array", "items": UNIT},
    },
}
PREDICTIONS = _object({"predictions": {"type": "array", "items": PREDICTION}}, ["predictions"])
VECTORS = _object({"vectors": {"type": "array", "items": {"type": "array", "items": NUMBER}}}, ["vectors"])
WORD = _object(
    {
        "word": STRING,
        **PLACE,
        "effect": {
            "type": "number",
            "description": "How much higher the natural logarithm of the probability is with the word.",
        },
        "second": {"type": "boolean", "description": "Of a pair: whether the word is of the second text."},
    },
    ["word", "start", "end", "effect"],
)
EXPLANATION = _object(
    {
        "text": STRING,
        "second_text": STRING,
        "labels": {
            "type": "array",
            "items": _object(
                {"label": STRING, "probability": NUMBER, "words": {"type": "array", "items": WORD}},
                ["label", "probability", "words"],
            ),
        },
        "tried": {"type": "integer", "description": "The number of words that were left out, one at a time."},
        "complete": {"type": "boolean", "description": "Whether these are all words of the text."},
    },
    ["text", "labels", "tried", "complete"],
)


def _post(summary: str, body: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    error = {"schema": {"$ref": "#/components/schemas/Error"}}
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": {"description": "The answer.", "content": {"application/json": {"schema": answer}}},
            **{
                code: {"description": about, "content": {"application/json": error}}
                for code, about in REFUSALS.items()
            },
        },
    }


def _get(summary: str, kind: str) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": {"description": "The answer.", "content": {kind: {}}}}}


def _secured(operation: dict[str, Any], needs_token: bool) -> dict[str, Any]:
    return {**operation, "security": [{"token": []}]} if needs_token else operation
