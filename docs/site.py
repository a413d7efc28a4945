"""Hooks of mkdocs: README.md as the first page, the notebooks, a page of reference a package."""

import json
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def packages() -> dict[str, list[str]]:
    """Dotted name of each package of jresnet, and those of its public modules, sorted."""
    listed = {}
    for init in sorted((ROOT / "jresnet").rglob("__init__.py")):
        package = ".".join(init.parent.relative_to(ROOT).parts)
        modules = sorted(path.stem for path in init.parent.glob("*.py") if path.stem[0] != "_")
        listed[package] = [package, *(f"{package}.{module}" for module in modules)]
    return listed


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Append the notebooks and the reference to the navigation."""
    pages = [{name.removeprefix("jresnet."): f"api/{name}.md"} for name in packages()]
    notebooks = [f"notebooks/{path.stem}.md" for path in NOTEBOOKS]
    config.nav = [*(config.nav or []), {"Notebooks": notebooks}, {"Reference": pages}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    readme = (ROOT / "README.md").read_text().replace("](docs/", "](").replace(".ipynb)", ".md)")
    files.append(File.generated(config, "index.md", content=readme))
    for path in NOTEBOOKS:
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=notebook(path)))
    for package, modules in packages().items():
        title, *rest = modules
        page = f"::: {title}\n    options:\n      heading_level: 1\n\n"
        page += "\n\n".join(f"::: {module}" for module in rest)
        files.append(File.generated(config, f"api/{package}.md", content=page))
    return files


def notebook(path: Path) -> str:
    """A notebook as Markdown, with its stored outputs."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            source = source.replace("](../README.md", "](../index.md").replace(
                "](../docs/", "](../"
            )
            parts.append(source.replace(".ipynb)", ".md)"))
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            if "text" in output:
                parts.append(f"```text\n{''.join(output['text'])}```")
            elif picture := output["data"].get("image/png"):
                parts.append(f"![](data:image/png;base64,{''.join(picture.split())})")
    return "\n\n".join(parts) + "\n"
