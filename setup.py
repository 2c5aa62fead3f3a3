"""Everything is in pyproject.toml except the description, whose links must also work on an index page."""

import re
import tomllib
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
SOURCE = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"].get("urls", {}).get("Source")


def description() -> str:
    """README.md with absolute links: below `Source` of the project's URLs if there is one, plain text otherwise."""
    text = (ROOT / "README.md").read_text("utf-8")
    relative = r"\((?!https?:|mailto:|#)([^)\s]+)\)"
    if SOURCE:
        text = re.sub(rf"(!\[[^]]*\]){relative}", rf"\1({SOURCE}/raw/HEAD/\2)", text)
        return re.sub(rf"(\]){relative}", rf"\1({SOURCE}/blob/HEAD/\2)", text)
    text = re.sub(rf"!\[[^]]*\]{relative}\n*", "", text)
    return re.sub(rf"\[([^]]*)\]{relative}", r"\1 (`\2`)", text)


setup(long_description=description(), long_description_content_type="text/markdown")
