"""A folder that becomes a Hugging Face Space: a container that serves the page of a run."""

from __future__ import annotations

from pathlib import Path

from spectro.core.config import require
from spectro.core.distribution import DISTRIBUTION, version
from spectro.core.files import write_text
from spectro.inference.hub import ADDRESS

PORT = 7860
"""Where a Space expects its program."""
PYTHON = "3.12"


def write_space(run: str, space: str, out: Path | str, *, title: str = "", source: str = "") -> Path:
    """Write what a Space needs to serve a run that is on the hub; return the folder.

    Parameters
    ----------
    run
        `hf:owner/name`, as `push` uploaded it.
    space
        `owner/name` of the Space, from which its public name follows.
    out
        The folder.
    title
        Its heading; the name of the Space if not given.
    source
        What pip installs: a requirement, an address or a wheel beside the Dockerfile; by default the distribution of
        this version.

    Raises
    ------
    ConfigError
        a name is not of that form.
    """
    require(ADDRESS.fullmatch(run) is not None, f"the run is '{run}', but must be hf:owner/name; push it first")
    match = ADDRESS.fullmatch(f"hf:{space}")
    require(match is not None and match["revision"] is None, f"the Space is '{space}', but must be owner/name")
    package = source or f"{DISTRIBUTION}[train,serve,av]=={version()}"
    out = Path(out)
    write_text(out / "README.md", _readme(run, space, title or space.partition("/")[2]))
    write_text(out / "Dockerfile", _dockerfile(run, space, package))
    return out


def public_host(space: str) -> str:
    """Return the host name under which a Space is reached: owner and name, in lower case, joined by hyphens."""
    owner, _, name = space.lower().partition("/")
    return f"{owner}-{name}".replace(".", "-").replace("_", "-") + ".hf.space"


def _readme(run: str, space: str, title: str) -> str:
    name = run.removeprefix("hf:").partition("@")[0]
    quoted = title.replace("\\", "\\\\").replace('"', '\\"')
    return (
        f'---\ntitle: "{quoted}"\nsdk: docker\napp_port: {PORT}\nmodels:\n- {name}\n---\n\n'
        f"Serves [{name}](https://huggingface.co/{name}) with spectro.\n\n"
        "Before the first start add a secret `SPECTRO_TOKEN` of at least 16 characters to the Space (Settings, "
        "Variables and secrets); the page asks visitors for it. Open the page by its own address, "
        f"https://{public_host(space)}: it refuses to be shown inside another page.\n"
    )


def _dockerfile(run: str, space: str, package: str) -> str:
    copied = f"COPY {package} .\n" if package.endswith(".whl") else ""
    extras = "[train,serve,av]" if package.endswith(".whl") else ""
    return (
        f"FROM python:{PYTHON}-slim\n"
        "RUN useradd --create-home user\n"
        "WORKDIR /home/user\n"
        f"{copied}"
        "RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu "
        f'"{package}{extras}"\n'
        "USER user\n"
        f'CMD ["spectro", "serve", "{run}", "--host", "0.0.0.0", "--port", "{PORT}", '
        f'"--allow-host", "{public_host(space)}"]\n'
    )
