"""Installing Apache Unomi, and the Elasticsearch that it keeps everything in, by Maven.

Both are what their makers put on Maven Central. That Elasticsearch has no modules but one: those
that Unomi needs are there too, as libraries, and become modules by a description. It has no field
of the type ``flattened`` either, which is not open source in that version: Unomi's description of
events asks for it once, and is given a field that is kept and not indexed.
"""

import os
import re
import shutil
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.peers.install import (
    check_allowed,
    is_installed,
    mark_installed,
    run,
    start_over,
)
from benchmarks.processes import SCRATCH, Missing

UNOMI: Final = "2.1.0"
ELASTICSEARCH: Final = "7.10.2"
_POM: Final = Path(__file__).parent / "unomi" / "pom.xml"
_COPY: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_JAVA_OLDEST: Final = 11
_JAVA_NEWEST: Final = 17
"""Unomi 2.1 is made for Java 11. Its Elasticsearch does not start with any later than 17."""

_EVENTS: Final = "META-INF/cxs/mappings/event.json"
_NOT_FREE: Final = b'"type": "flattened"'
_KEPT: Final = b'"type": "object", "enabled": false'


@dataclass(frozen=True, slots=True)
class _Module:
    """A module of Elasticsearch: its class, its libraries' names, what it may do."""

    name: str
    plugin: str
    libraries: tuple[str, ...]
    permissions: tuple[str, ...] = ()


_MODULES: Final = (
    _Module(
        "analysis-common",
        "org.elasticsearch.analysis.common.CommonAnalysisPlugin",
        ("analysis-common-",),
    ),
    _Module(
        "lang-painless",
        "org.elasticsearch.painless.PainlessPlugin",
        ("lang-painless-", "scripting-painless-spi-", "antlr4-", "asm-"),
        (
            'java.lang.RuntimePermission "createClassLoader"',
            'org.elasticsearch.script.ClassPermission "<<STANDARD>>"',
            'org.elasticsearch.script.ClassPermission "org.elasticsearch.painless.*"',
        ),
    ),
    _Module(
        "reindex",
        "org.elasticsearch.index.reindex.ReindexPlugin",
        ("reindex-", "ssl-config-", "elasticsearch-rest-client-", "commons-", "http"),
    ),
)


@dataclass(frozen=True, slots=True)
class UnomiFolders:
    """Where the programs are."""

    unomi: Path
    elasticsearch: Path


def unomi_folders(install: bool) -> UnomiFolders:
    """Return the folders with the programs; raises Missing."""
    folder = SCRATCH / "unomi"
    wanted = _POM.read_bytes() + Path(__file__).read_bytes()
    folders = UnomiFolders(folder / f"unomi-{UNOMI}", folder / f"elasticsearch-{ELASTICSEARCH}")
    if not is_installed(folder, wanted):
        check_allowed(install)
        if shutil.which("mvn") is None:
            raise Missing("needs mvn, and Java 11 to 17")
        start_over(folder)
        shutil.copy(_POM, folder)
        run(["mvn", "-q", "-B", _COPY, "-DoutputDirectory=libraries"], folder)
        libraries = folder / "libraries"
        for packed in (f"unomi-{UNOMI}.tar.gz", f"elasticsearch-{ELASTICSEARCH}.zip"):
            shutil.unpack_archive(libraries / packed, folder)
        _add_modules(folders.elasticsearch, libraries)
        _allow_java(folders.unomi / "etc")
        _spare_flattened(folders.unomi)
        shutil.rmtree(libraries)
        mark_installed(folder, wanted)
    return folders


def java_home() -> Path:
    """Return where Java is; raises Missing."""
    program = shutil.which("java")
    if program is None:
        raise Missing("needs Java 11 to 17")
    return Path(os.path.realpath(program)).parents[1]


def java_version() -> str:
    """Return the version of Java; raises Missing if it is none that both programs run on."""
    command = [str(java_home() / "bin" / "java"), "-version"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "((\d+)[^"]*)"', said)
    if found is None or not _JAVA_OLDEST <= int(found[2]) <= _JAVA_NEWEST:
        raise Missing(f"needs Java {_JAVA_OLDEST} to {_JAVA_NEWEST}, and this is {said[:60]!r}")
    return found[1]


def _add_modules(elasticsearch: Path, libraries: Path) -> None:
    for script in (elasticsearch / "bin").iterdir():
        script.chmod(0o755)
    for module in _MODULES:
        folder = elasticsearch / "modules" / module.name
        folder.mkdir()
        for library in libraries.glob("*.jar"):
            if library.name.startswith(module.libraries):
                shutil.copy(library, folder)
        (folder / "plugin-descriptor.properties").write_text(
            f"name={module.name}\ndescription={module.name}\nclassname={module.plugin}\n"
            f"version={ELASTICSEARCH}\nelasticsearch.version={ELASTICSEARCH}\n"
            "java.version=1.8\nextended.plugins=\nhas.native.controller=false\n"
        )
        if module.permissions:
            granted = "".join(f"  permission {each};\n" for each in module.permissions)
            (folder / "plugin-security.policy").write_text(f"grant {{\n{granted}}};\n")


def _allow_java(etc: Path) -> None:
    """Tell Unomi's container that later versions of Java have what the last one it knows has."""
    for name, prefix in (("jre.properties", "jre"), ("config.properties", "eecap")):
        with (etc / name).open("a") as properties:
            for later in (16, 17):
                properties.write(f"\n{prefix}-{later} = ${{{prefix}-15}}\n")


def _spare_flattened(unomi: Path) -> None:
    (library,) = unomi.rglob(f"unomi-persistence-elasticsearch-core-{UNOMI}.jar")
    changed = library.with_suffix(".changed")
    with zipfile.ZipFile(library) as source, zipfile.ZipFile(changed, "w") as target:
        for entry in source.infolist():
            content = source.read(entry)
            if entry.filename == _EVENTS:
                if _NOT_FREE not in content:
                    raise Missing("could not be installed: its description of events is another")
                content = content.replace(_NOT_FREE, _KEPT)
            target.writestr(entry, content)
    changed.replace(library)
