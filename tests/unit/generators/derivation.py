"""Derives a scene's answer from its description alone, the slow and obvious way."""

import ast
from collections.abc import Mapping, Sequence
from typing import Any

Thing = Mapping[str, Any]


def matching(objects: Sequence[Thing], where: Mapping[str, Any]) -> list[Thing]:
    return [thing for thing in objects if all(thing.get(name) == value for name, value in where.items())]


def the_one(objects: Sequence[Thing], where: Mapping[str, Any]) -> Thing:
    (thing,) = matching(objects, where)
    return thing


def derive(objects: Sequence[Thing], query: Mapping[str, Any]) -> str:
    among = matching(objects, query.get("where", {}))
    match query["op"]:
        case "count":
            return str(len(among))
        case "attribute":
            (thing,) = among
            return str(thing[query["name"]])
        case "argmax" | "argmin":
            ordered = sorted(among, key=lambda thing: thing[query["by"]], reverse=query["op"] == "argmax")
            assert len(ordered) == 1 or ordered[0][query["by"]] != ordered[1][query["by"]], "the extreme is not unique"
            return str(ordered[0][query["name"]])
        case "maximum":
            return str(max(thing[query["of"]] for thing in among))
        case "compare":
            left, right = (the_one(objects, query[side])[query["by"]] for side in ("left", "right"))
            return str(query["names"]["left" if left > right else "right" if right > left else "equal"])
        case "relation":
            of, to = the_one(objects, query["of"]), the_one(objects, query["to"])
            dx, dy = of["x"] - to["x"], of["y"] - to["y"]
            if abs(dx) > abs(dy):
                return "left" if dx < 0 else "right"
            return "above" if dy < 0 else "below"
        case "evaluate":
            return str(arithmetic(ast.parse(query["expression"], mode="eval").body))
        case "follow":
            thing = the_one(objects, {"id": query["start"]})
            for _ in range(query["steps"]):
                thing = the_one(objects, {"id": thing[query["edge"]]})
            return str(thing[query["name"]])
    raise AssertionError(f"unknown operation {query['op']}")


def arithmetic(node: ast.expr) -> int:
    if isinstance(node, ast.Constant):
        return int(node.value)  # type: ignore[arg-type]
    assert isinstance(node, ast.BinOp)
    left, right = arithmetic(node.left), arithmetic(node.right)
    return {ast.Add: left + right, ast.Sub: left - right, ast.Mult: left * right}[type(node.op)]
