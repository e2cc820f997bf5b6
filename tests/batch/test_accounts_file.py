"""The accounts file: what it may hold, and how it is refused by account and line."""

import pytest

from helpers.batch import accounts_file
from helpers.core.errors import ParameterError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "north.env").write_text("WISTIA_API_TOKEN=n\n")
    (tmp_path / "south.env").write_text("WISTIA_API_TOKEN=s\nVIEWER_PERSONAS_ACCOUNT=acme\n")
    (tmp_path / "south.yml").write_text("min_cell: 20\nmedia_ids: [02134]\nmax_credits: 5\n")
    return tmp_path


def read(folder, text, given=None):
    (folder / "accounts.yml").write_text(text)
    return accounts_file.read(folder / "accounts.yml", given or {})


BOTH = """accounts:
  north: {env_file: north.env}
  south: {env_file: south.env, parameters: south.yml, max_credits: 1600}
"""


def test_accounts_are_read_in_order_with_paths_beside_the_file(folder, monkeypatch):
    monkeypatch.chdir("/")
    north, south = read(folder, BOTH)
    assert (north.name, north.line, north.env_file) == ("north", 2, folder / "north.env")
    assert (south.name, south.line, south.parameters) == ("south", 3, folder / "south.yml")
    assert south.values({"max_credits": "0"}).max_credits == 0, "the command line wins"
    values = south.values({"seed": "7"}).model_dump(exclude_unset=True)
    assert values == {"min_cell": 20, "media_ids": ["02134"], "max_credits": 1600, "seed": 7}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("accounts: {}", "line 1: accounts: Dictionary should have"),
        ("- north", "line 1: Input should be a valid dictionary"),
        ("acounts:\n  north: {}", "line 1: acounts: unknown key. Did you mean 'accounts'"),
        ("accounts:\n  north: {env_file: [", "line 2: not YAML"),
        ("accounts:\n  a: {env_file: north.env}\n  a: {env_file: secret}",
         "line 3: not YAML: found duplicate key \"a\"\\. Correct"),
        ("accounts:\n  north:\n", "line 2: accounts: north: Input should be"),
        ("accounts:\n  north: {max_credits: 1}", "north: env_file: Field required"),
        ("accounts:\n  north: {env_file: n.env}", "north: env_file: there is no file n."),
        ("accounts:\n  north: {env_file: 7}", "north: env_file: expected the path"),
        ("accounts:\n  north: {env_file: .}", "north: env_file: there is no file"),
        ("accounts:\n  north:\n    env_file: north.env\n    parameters: x.yml",
         "line 4: accounts: north: parameters: there is no file x.yml"),
        ("accounts:\n  north:\n    env_file: north.env\n    max_credit: 1",
         "line 4: accounts: north: max_credit: unknown key. Did you"),
        ("accounts:\n  north: {env_file: north.env, max_credits: -1}", "max_credits: "),
        ("accounts:\n  north: {env_file: north.env, max_credits: true}", "max_credits: "),
        ("accounts:\n  ../up: {env_file: north.env}", "accounts: ../up: String should match"),
        ("accounts:\n  store: {env_file: north.env}", "accounts: store: the outputs folder holds"),
        ("accounts:\n  2026-07-01: {env_file: north.env}", "accounts: 2026-07-01: the outputs"),
        ("accounts:\n  a: {env_file: north.env}\n  A: {env_file: south.env}",
         "line 3: account A: the name is there twice"),
        ("accounts:\n  north: {env_file: north.env, parameters: bad.yml}",
         "line 2: account north: Parameter file bad.yml has no parameter 'min_cel'"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_meant_is_refused_by_account_and_line(folder, text, said):
    (folder / "bad.yml").write_text("min_cel: 3\n")
    with pytest.raises(ParameterError, match=f"Accounts file accounts.yml, {said}|{said}") as error:
        read(folder, text)
    assert str(error.value).startswith("Accounts file accounts.yml")
    assert "secret" not in str(error.value)


def test_a_wrong_parameter_of_the_command_line_is_not_blamed_on_an_account(folder):
    with pytest.raises(ParameterError, match="^The run has no parameter 'sed'"):
        read(folder, BOTH, {"sed": "1"})


TWO = """accounts:
  north: {{env_file: one.env}}
  south: {{env_file: {env}, parameters: {file}}}
"""


def test_two_accounts_of_one_mavera_key_need_two_prefixes(folder):
    for name, key in (("one", "k1"), ("two", "k1"), ("other", "k2")):
        (folder / f"{name}.env").write_text(f"WISTIA_API_TOKEN={name}\nMAVERA_API_KEY={key}\n")
    (folder / "plain.yml").write_text("seed: 1\n")
    (folder / "played.yml").write_text("source: sandbox\n")
    clusters = "name_prefix: South\nclusters:\n  - {name: all, title: All}\n"
    (folder / "south.clusters").write_text(clusters)
    (folder / "apart.yml").write_text(f"clusters_file: {folder / 'south.clusters'}\n")
    said = "line 3: account south has the Mavera key of account north"
    with pytest.raises(ParameterError, match=said):
        read(folder, TWO.format(env="two.env", file="plain.yml"))
    for env, file in (("two", "apart"), ("other", "plain"), ("two", "played")):
        assert len(read(folder, TWO.format(env=f"{env}.env", file=f"{file}.yml"))) == 2


def test_the_environment_of_this_process_says_nothing_of_an_account(folder, monkeypatch):
    monkeypatch.setenv("MAVERA_API_KEY", "inherited")
    assert [account.settings.mavera_api_key for account in read(folder, BOTH)] == [None, None]


def test_an_environment_file_that_is_wrong_is_refused_by_account_and_setting(folder):
    (folder / "north.env").write_text("VIEWER_PERSONAS_ACCOUNT=../up\n")
    with pytest.raises(ParameterError, match="account north: .*VIEWER_PERSONAS_ACCOUNT"):
        read(folder, BOTH)
