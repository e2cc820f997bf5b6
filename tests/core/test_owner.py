"""Whatever the owner wrote is understood or refused, by its file; never anything else."""

import os
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from helpers import __main__ as command
from helpers.batch import accounts_file, plan, runner
from helpers.core import owner, settings as settings_module
from helpers.core.errors import KitError, ParameterError
from helpers.core.parameters import DEFAULTS
from helpers.findings.opt_out import read_opt_out
from helpers.store import rules
from helpers.store.intake import read_sessions_file


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"na\xc3\xafve\r\n", "naïve\n"),
        (b"\xef\xbb\xbfa", "a"),
        ("a".encode("utf-16"), None),
        ("a".encode("utf-16-le"), None),
        (b"na\xefve", None),
        (None, None),
    ],
)
def test_what_the_owner_wrote_is_read_as_utf_8_or_refused_by_name(tmp_path, content, text):
    path = tmp_path / "my.yml"
    if content is not None:
        path.write_bytes(content)
    if text is not None:
        assert owner.read_owner_text(path, "Clusters file") == text
    else:
        with pytest.raises(ParameterError, match="Clusters file my.yml"):
            owner.read_owner_text(path, "Clusters file")


def test_what_is_copied_into_runs_is_refused_by_line_where_the_scan_would_refuse_it(tmp_path):
    path = tmp_path / "my.yml"
    path.write_text("clusters:\n- title: Warm\n  description: ask jane@acme.example\n")
    with pytest.raises(ParameterError, match="my.yml, line 3: Here is an e-mail address") as told:
        rules.load(path)
    assert "jane" not in str(told.value)


def test_a_parameter_file_keeps_ids_that_look_like_numbers(tmp_path):
    path = tmp_path / "p.yml"
    path.write_text("media_ids: [5e12345678, 0012345678, 02134]\nmax_credits: 700\n")
    expected = {"media_ids": ["5e12345678", "0012345678", "02134"], "max_credits": "700"}
    assert owner.read_parameter_file(path) == expected


@pytest.mark.parametrize(
    "text",
    ["- a\n- b\n", "a: [", "just words\n", "", "seed: 1\nseed: 2", "a: &x 1\nb: *x", "seed: one"],
)
def test_a_parameter_file_of_another_form_is_refused_by_name(tmp_path, text):
    (tmp_path / "p.yml").write_text(text)
    with pytest.raises(ParameterError, match=r"Parameter file p\.yml"):
        owner.read_parameter_file(tmp_path / "p.yml")


# ---- any text or bytes in any of the files

CLUSTERS = """name_prefix: Acme
scores: {call_score: 60, buying_words: [price, demo]}
clusters:
- name: keen
  title: Keen viewers
  when: video_count >= 3 AND avg_percent_watched BETWEEN 50 AND 90
  persona: {type: B2B, role_segment: [a, b]}
- name: rest
"""
SESSIONS = """visitor_key,media_id,received_at,percent_viewed,email
v1,a1,2026-06-01 10:00:00,0.5,ann@acme.example
v2,a1,2026-06-02T10:00:00Z,1,
"""
FILES = {
    "my.yml": (rules.load, CLUSTERS),
    "run.yml": (owner.read_parameter_file, "min_cell: 10\nmedia_ids: [a1, 0012]\nrun_date: ''\n"),
    "my.env": (
        lambda path: settings_module.load(env_file=path),
        "WISTIA_API_TOKEN=abc123\nexport MAVERA_BASE_URL='https://m.example/v1' # x\n"
        "VIEWER_PERSONAS_MEMORY_LIMIT=2GB\nVIEWER_PERSONAS_RETENTION_DAYS=30\n",
    ),
    "opt_out.txt": (read_opt_out, "# staff\nAnn <ann@acme.example>, bob@x.example\nacme.example\n"),
    "accounts.yml": (
        partial(accounts_file.read, given={}),
        "accounts:\n  north: {env_file: n.env, max_credits: 5}\n",
    ),
    "views.csv": (read_sessions_file, SESSIONS),
    "views.parquet": (read_sessions_file, ""),
}
ODD = st.sampled_from(
    ["\0", "\ufeff", "\x85", "\r", "\t", '"', "'", "\\", "#", ":", "- ", "? ", "{", "[", "]", "*x",
     "&a [*a]", "<<: 1", "!!binary x", "!!omap", "!!timestamp 1", "!!python/object:os.system x",
     "%YAML 9.9\n---\n", "---\n...\n", "| 9", "${HOME}", "=", ",", ";", "@", "1e999", "-1", "inf",
     "0x_", "2026-13-45", "９", "\ud800", "\u202e", "\x1b[31m", "a" * 300, "~", "[" * 3000, "null",
     "99" * 999]
)  # fmt: skip


@st.composite
def spoiled(draw, text: str) -> bytes:
    """Any bytes, any text, or a good text with pieces taken out and odd ones put in."""
    if draw(st.integers(0, 4)) == 0:
        return draw(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 9)))
        text = text[:start] + draw(ODD | st.text(max_size=4)) + text[end:]
    return text.encode("utf-8", draw(st.sampled_from(["surrogatepass", "replace"])))


@pytest.mark.parametrize("name", FILES)
def test_any_file_is_understood_or_refused_by_its_name(name, tmp_path):
    read, good = FILES[name]
    (tmp_path / "n.env").write_text("WISTIA_API_TOKEN=abc123\n")
    (tmp_path / name).write_text(good)
    if good:
        read(tmp_path / name)

    @given(spoiled(good))
    @settings(max_examples=150)
    def check(content: bytes) -> None:
        (tmp_path / name).write_bytes(content)
        try:
            read(tmp_path / name)
        except KitError as refused:
            assert refused.exit_status in (2, 3, 7)
            assert name in str(refused)
            assert str(refused).replace("\n", "").isprintable()

    check()


VALUES = st.text(max_size=12) | ODD.filter(lambda text: "\0" not in text)


@given(st.sampled_from(sorted(settings_module.FIELDS)), VALUES)
def test_any_setting_is_understood_or_refused_by_its_name(name, value):
    value = value.replace("\0", "").encode("utf-8", "replace").decode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIEWER_PERSONAS_ENV_FILE", os.devnull)
        patch.setenv(name, value)
        try:
            found = settings_module.load()
        except KitError as refused:
            assert refused.exit_status in (2, 3) and name in str(refused)
        else:
            assert found.outputs.is_absolute()


LONG = "a" * 300


@pytest.mark.parametrize(
    "words",
    [
        ["run", "-p", "clusters_file", LONG, "-p", "sessions_file", LONG],
        ["run", "--outputs", LONG],
        ["run", "--outputs", "\udce9"],
        ["run-all", LONG],
        ["run-all", "accounts.yml"],
        ["run", "-f", "~nobody/run.yml"],
        ["erase", "--yes", "ann@acme.example", "--outputs", LONG],
        ["run"],
    ],
)
def test_a_path_that_cannot_be_is_wrong_use(monkeypatch, tmp_path, capsys, words):
    monkeypatch.chdir(tmp_path)
    Path("accounts.yml").write_text(f"accounts:\n  north: {{env_file: ~nobody/{LONG}}}\n")
    if words == ["run"]:
        Path("gone.env").symlink_to("nowhere")
        monkeypatch.setenv("VIEWER_PERSONAS_ENV_FILE", "gone.env")
    with pytest.raises(SystemExit) as ended:
        command.main(words)
    assert ended.value.code == 2, capsys.readouterr().err


def test_any_command_ends_in_a_run_or_in_wrong_use(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runner, "run", lambda given, **more: plan.plan(given, **more))
    names = st.sampled_from([*DEFAULTS, "seeds", "token"])
    files = st.dictionaries(
        st.sampled_from(["run.yml", "my.yml", "views.csv"]),
        st.sampled_from(["-f", "clusters_file", "sessions_file"]),
    )

    @given(st.lists(st.tuples(names, VALUES), max_size=3), files, st.data())
    @settings(max_examples=40)
    def check(parameters, named, data):
        words = ["run", "--quiet"]
        for name, value in parameters:
            words += ["-p", name, value]
        for name, use in named.items():
            Path(name).write_bytes(data.draw(spoiled(FILES[name][1])))
            words += ["-f", name] if use == "-f" else ["-p", use, name]
        with pytest.raises(SystemExit) as ended:
            command.main(words)
        assert ended.value.code in (0, 2, 3, 7), words

    check()
