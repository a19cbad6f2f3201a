"""Who acts: read from the project's file, never believed without it."""

import subprocess
import sys
from pathlib import Path

import pytest

from pointsman.errors import BadInput
from pointsman.principal import Roles, os_user, token_digest
from pointsman.server.token import new_token

ME = os_user()


def written(root: Path, text: str) -> Roles:
    (root / "guards").mkdir(exist_ok=True)
    (root / "guards" / "roles.toml").write_text(text)
    return Roles.read(root)


def test_without_a_file_nobody_holds_anything(tmp_path: Path) -> None:
    roles = Roles.read(tmp_path)
    assert not roles.holds("dana", "controller") and not roles.knows("dana")
    assert (roles.acting().name, roles.acting().known_by) == (ME, "os")
    with pytest.raises(BadInput, match="not allowed"):
        roles.acting("dana")


def test_roles_claims_and_users(tmp_path: Path) -> None:
    roles = written(tmp_path, f'allow_as = true\n[roles]\ncontroller = ["dana"]\n[os]\n{ME} = "kim"\n')
    assert roles.holds("dana", "controller") and not roles.holds("kim", "controller") and not roles.holds("dana", "clerk")
    assert roles.knows("dana") and roles.knows("kim") and not roles.knows(ME)
    assert (roles.acting().name, roles.acting("kim").known_by, roles.acting("dana").known_by) == ("kim", "os", "as")


def test_a_user_that_is_not_mapped_is_nobody_else(tmp_path: Path) -> None:
    roles = written(tmp_path, f'[roles]\ncontroller = ["{ME}"]\n[os]\nsomebody = "dana"\n')
    assert roles.acting().name == f"os:{ME}"
    assert not roles.holds(roles.acting().name, "controller")


@pytest.mark.parametrize(
    "text", ["[roles", '[roles]\na = "dana"\n', "[roles]\na = [1]\n", "[os]\ndana = 1\n", "os = 3\n", "roles = 1\n", '[roles]\na = [""]\n']
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput, match=r"roles\.toml"):
        written(tmp_path, text)


def test_a_token_stands_for_a_name(tmp_path: Path) -> None:
    token, line = new_token('da"na')
    other, _ = new_token("kim")
    (tmp_path / "guards").mkdir()
    (tmp_path / "guards" / "roles.toml").write_text(f'[roles]\nclerk = ["max"]\n[api]\n{line}\n')
    roles = Roles.read(tmp_path)
    assert (roles.bearer(token), roles.bearer(other), roles.bearer(token_digest(token))) == ('da"na', None, None)
    assert roles.knows('da"na')
    assert token not in (tmp_path / "guards" / "roles.toml").read_text()


@pytest.mark.parametrize("line", ['"secret" = "dana"', f'{"A" * 64} = "dana"', f'{"a" * 64} = ""', f"{'a' * 64} = 1"])
def test_a_table_of_tokens_that_cannot_be_read_lets_nobody_in(tmp_path: Path, line: str) -> None:
    (tmp_path / "guards").mkdir()
    (tmp_path / "guards" / "roles.toml").write_text(f"[api]\n{line}\n")
    with pytest.raises(BadInput, match="SHA-256"):
        Roles.read(tmp_path)


def test_a_token_is_printed_once_with_its_line() -> None:
    made = subprocess.run([sys.executable, "-m", "pointsman.server.token", "dana"], capture_output=True, text=True, check=True).stdout
    token, line = (made.splitlines()[number].strip() for number in (1, 3))
    assert line == f'"{token_digest(token)}" = "dana"'
    assert subprocess.run([sys.executable, "-m", "pointsman.server.token"], capture_output=True, check=False).returncode == 1
