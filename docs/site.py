"""Hooks of mkdocs: README.md as the first page, and a page of reference for each package."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]


def packages() -> dict[str, list[str]]:
    """Dotted name of each package of jresnet, and those of its public modules, sorted."""
    listed = {}
    for init in sorted((ROOT / "jresnet").rglob("__init__.py")):
        package = ".".join(init.parent.relative_to(ROOT).parts)
        modules = sorted(path.stem for path in init.parent.glob("*.py") if path.stem[0] != "_")
        listed[package] = [package, *(f"{package}.{module}" for module in modules)]
    return listed


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Append the reference to the navigation."""
    pages = [{name.removeprefix("jresnet."): f"api/{name}.md"} for name in packages()]
    config.nav = [*(config.nav or []), {"Reference": pages}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    readme = (ROOT / "README.md").read_text().replace("](docs/", "](")
    files.append(File.generated(config, "index.md", content=readme))
    for package, modules in packages().items():
        title, *rest = modules
        page = f"::: {title}\n    options:\n      heading_level: 1\n\n"
        page += "\n\n".join(f"::: {module}" for module in rest)
        files.append(File.generated(config, f"api/{package}.md", content=page))
    return files
