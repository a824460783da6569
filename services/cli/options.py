"""The options that several commands share, declared once."""

from pathlib import Path
from typing import Annotated

import typer

StateDir = Annotated[Path, typer.Option("--state-dir", envvar="SPIRAL_STATE_DIR", help="Where an embedded stack keeps everything.")]
BusUrl = Annotated[str, typer.Option("--bus-url", envvar="SPIRAL_BUS_URL", help="A broker that is up elsewhere: nats://HOST:PORT.")]
StoreUrl = Annotated[str, typer.Option("--store-url", envvar="SPIRAL_STORE_URL", help="Its object store: s3://... or file:///...")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, see services/cli/README.md for the schema.")]

DEFAULT_STATE_DIR = Path(".spiral")
