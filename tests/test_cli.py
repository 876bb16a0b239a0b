"""The command line as a user meets it: results, mistakes, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import isthmus
import isthmus.data
from isthmus.cli.main import COMMANDS, main
from isthmus.cli.options import argument_help, estimator_options, models
from isthmus.files import reading_only

SMALL = ["--max-epochs", "2", "--hidden", "16", "--n-components", "2"]


def run(*arguments: str) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "vae"
    assert run("train", "vae", "--out", out, "--no-report", *SMALL) == 0
    return out


@pytest.fixture
def table(tmp_path) -> Path:
    rows = np.random.default_rng(0).normal(size=(40, 3))
    np.savetxt(tmp_path / "table.csv", rows, delimiter=",", header="a,b,c", comments="")
    return tmp_path / "table.csv"


def test_help_lists_every_command_and_needs_no_torch():
    code = "import sys; from isthmus.cli.main import main; main(['--help']); assert 'torch' not in sys.modules"
    text = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert all(command in text for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    assert run(command, "--help") == 0
    assert "usage" in capsys.readouterr().out


def test_every_option_of_every_model_is_documented():
    for name, kind in models().items():
        helps = argument_help(kind)
        missing = [field for field, _, _ in estimator_options(kind) if not helps.get(field)]
        assert not missing, f"{name}: {missing}"


def test_what_only_python_can_pass_is_no_option():
    for name, kind in models().items():
        assert not [field for field, hint, _ in estimator_options(kind) if "typing.Any" in str(hint)], name
    given = {field for field, _, _ in estimator_options(models()["gaussian-mixture"])}
    assert "n_init" in given
    assert not given & {"weights_init", "means_init", "precisions_init"}


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (["trian"], "train"),
        (["train", "vea"], "vae"),
        (["train", "vae", "--hiden", "3"], "--hidden"),
        (["train", "vae", "--likelihood", "bernouli"], "bernoulli"),
        (["train"], "vae"),
        (["train", "--resume"], "--out"),
    ],
)
def test_misspellings_are_answered_with_a_suggestion_and_code_2(arguments, suggestion, capsys):
    assert run(*arguments) == 2
    assert suggestion in capsys.readouterr().err


def test_no_arguments_show_the_usage(capsys):
    assert run() == 2
    assert "isthmus demo" in capsys.readouterr().out


def test_train_writes_a_run_folder_that_loads(trained):
    names = {path.name for path in trained.iterdir()}
    assert {"config.json", "model.safetensors", "metrics.jsonl", "measures.json", "checkpoints"} <= names
    vae = isthmus.load(trained)
    assert vae.n_components == 2
    assert vae.hidden == (16,)
    records = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records] == [0, 1]
    assert "validation" in records[0]


def test_a_run_is_not_overwritten_by_accident(trained, capsys):
    before = (trained / "model.safetensors").read_bytes()
    assert run("train", "vae", "--out", trained, *SMALL) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (trained / "model.safetensors").read_bytes() == before


def test_evaluate_reports_the_same_measures_as_python(trained, capsys):
    assert run("evaluate", trained, "-k", "5", "--json") == 0
    found = json.loads(capsys.readouterr().out)["measures"]
    assert {"squared_error", "bound", "distortion", "rate", "log_likelihood", "active_units"} <= set(found)
    data = isthmus.data.load_data("digits")
    score = isthmus.load(trained).score(data.x_test)
    assert found["bound"]["value"] == pytest.approx(score, rel=1e-6)


def test_encode_keeps_the_order_of_a_file(table, tmp_path, capsys):
    out = tmp_path / "pca"
    assert run("train", "pca", "--data", table, "--out", out, "--no-report") == 0
    assert run("encode", out, "--data", table, "--out", tmp_path / "codes.csv") == 0
    codes = np.loadtxt(tmp_path / "codes.csv", delimiter=",", skiprows=1)
    rows = np.loadtxt(table, delimiter=",", skiprows=1)
    np.testing.assert_allclose(codes, isthmus.load(out).transform(rows), rtol=1e-7)


def test_reconstruct_writes_the_shape_and_error_of_the_data(trained, tmp_path, capsys):
    assert run("reconstruct", trained, "--part", "test", "--out", tmp_path / "x.npy", "--json") == 0
    error = json.loads(capsys.readouterr().out)["squared_error"]
    data, rows = isthmus.data.load_data("digits"), np.load(tmp_path / "x.npy")
    assert rows.shape == data.x_test.shape
    assert error == pytest.approx(np.square(rows - data.x_test).sum(axis=(1, 2)).mean(), rel=1e-4)


def test_sample_is_seeded(trained, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert run("sample", trained, "-n", "3", "--seed", seed, "--out", tmp_path / f"{name}.npy") == 0
    a, b, c = (np.load(tmp_path / f"{name}.npy") for name in "abc")
    assert a.shape == (3, 8, 8)
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_a_deep_belief_net_is_sampled_by_its_own_chains(tmp_path):
    out = tmp_path / "net"
    layers = "--layer rbm --code-activation sigmoid --no-fine-tune --hidden 8 --layer-epochs 1".split()
    assert run("train", "stacked-autoencoder", *layers, "--n-components", "4", "--out", out, "--no-report") == 0
    assert run("sample", out, "-n", "3", "--seed", "1", "--out", tmp_path / "x.npy") == 0
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), isthmus.load(out).sample(3, random_state=1))


def test_an_autoencoder_is_sampled_only_with_a_prior(tmp_path, capsys):
    out = tmp_path / "ae"
    assert run("train", "autoencoder", "--out", out, "--no-report", *SMALL) == 0
    assert run("sample", out, "--out", tmp_path / "x.npy") == 2
    assert "--prior" in capsys.readouterr().err
    assert run("sample", out, "--prior", "gaussian", "--out", tmp_path / "x.npy") == 0
    assert np.load(tmp_path / "x.npy").shape == (16, 8, 8)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "Expected"),
        (b"a,b\n1,x\n2,y\n", "numbers"),
        (b"a,b\n1,nan\n2,3\n4,5\n", "row 0"),
        (b"\x93NUMPY torn", "Expected"),
    ],
)
def test_bad_files_end_with_code_1_and_words(tmp_path, content, words, capsys):
    path = tmp_path / ("x.npy" if content.startswith(b"\x93") else "x.csv")
    path.write_bytes(content)
    assert run("train", "pca", "--data", path, "--out", tmp_path / "run") == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_columns_are_matched_by_name_and_a_file_is_measured_whole(table, tmp_path, capsys):
    out, rows = tmp_path / "pca", np.loadtxt(table, delimiter=",", skiprows=1)
    assert run("train", "pca", "--data", table, "--out", out, "--no-report") == 0
    swapped = tmp_path / "swapped.csv"
    np.savetxt(swapped, rows[:, [1, 0, 2]], delimiter=",", header="b,a,c", comments="")
    assert run("encode", out, "--data", swapped, "--out", tmp_path / "codes.npy") == 0
    np.testing.assert_allclose(np.load(tmp_path / "codes.npy"), isthmus.load(out).transform(rows), rtol=1e-7)
    renamed = tmp_path / "renamed.csv"
    np.savetxt(renamed, rows, delimiter=",", header="a,b,zz", comments="")
    capsys.readouterr()
    assert run("encode", out, "--data", renamed) == 1
    assert "zz" in capsys.readouterr().err
    assert run("evaluate", out, "--data", swapped, "--json") == 0
    found = capsys.readouterr()
    assert "40 rows" in found.err
    error = json.loads(found.out)["measures"]["squared_error"]["value"]
    assert error == pytest.approx(isthmus.load(out).squared_error(rows).mean(), rel=1e-7)


def test_the_label_of_training_is_left_out_of_other_files(tmp_path):
    rows = ["a,b,c,kind", *(f"{i},{i % 3},{i % 5},{'xy'[i % 2]}" for i in range(40))]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    out = tmp_path / "pca"
    assert run("train", "pca", "--data", tmp_path / "t.csv", "--label", "kind", "--out", out, "--no-report") == 0
    assert run("encode", out, "--data", tmp_path / "t.csv", "--out", tmp_path / "codes.npy") == 0
    (tmp_path / "u.csv").write_text("\n".join(row.rsplit(",", 1)[0] for row in rows))
    assert run("encode", out, "--data", tmp_path / "u.csv", "--out", tmp_path / "others.npy") == 0
    assert np.array_equal(np.load(tmp_path / "codes.npy"), np.load(tmp_path / "others.npy"))


def test_a_resumed_run_keeps_what_it_is(tmp_path, capsys):
    out = tmp_path / "vae"
    assert run("train", "vae", "--out", out, "--no-report", *SMALL) == 0
    for wrong in (["pca"], ["vae", "--learning-rate", "5"], ["vae", "--data", "mnist"]):
        assert run("train", *wrong, "--resume", "--out", out, "--no-report") == 2
    assert run("train", "vae", "--max-epochs", "4", "--resume", "--out", out, "--no-report") == 0
    assert len(isthmus.load(out).history_) == 4
    assert run("train", "--resume", "--out", out, "--binarisation", "dynamic") == 2
    assert run("train", "--resume", "--out", tmp_path / "nothing") == 1
    assert "without --resume" in capsys.readouterr().err


def test_a_replaced_run_leaves_nothing_of_the_old_one(tmp_path, capsys):
    out = tmp_path / "run"
    assert run("train", "vae", "--out", out, "--no-report", *SMALL) == 0
    wrong = ("--learning-rate", "1e30", "--likelihood", "fixed_gaussian")
    assert run("train", "autoencoder", "--overwrite", "--out", out, "--no-report", *wrong) == 3
    assert run("evaluate", out) == 1
    assert "--resume" in capsys.readouterr().err


def test_whether_a_folder_holds_a_run_is_what_the_first_of_several_processes_saw(tmp_path, monkeypatch):
    for name in ("config.json", "model.safetensors"):  # as the first process may write before others look
        (tmp_path / name).write_text("{}")
    monkeypatch.setattr("isthmus.cli.train.from_first", lambda seen: not seen)
    assert run("train", "pca", "--out", tmp_path, "--no-report") == 0


def test_processes_that_do_not_write_leave_a_run_alone(tmp_path):
    (tmp_path / "measures.json").write_text("another run's")
    with reading_only():
        assert run("train", "pca", "--overwrite", "--out", tmp_path, "--no-report") == 0
    assert (tmp_path / "measures.json").read_text() == "another run's"


def test_a_part_without_rows_is_said(tmp_path, capsys):
    assert run("train", "pca", "--test-fraction", "0", "--out", tmp_path, "--no-report") == 0
    for command in (["evaluate", tmp_path], ["encode", tmp_path, "--part", "test"]):
        assert run(*command) == 1
        assert "got none; use --part train or --part validation, or --data" in capsys.readouterr().err


def test_a_missing_run_and_a_wrong_ending_are_said(tmp_path, trained, capsys):
    assert run("evaluate", tmp_path / "nothing") == 1
    assert run("encode", trained, "--out", tmp_path / "codes.xls") == 2
    assert ".csv" in capsys.readouterr().err


def test_a_diverging_run_ends_with_code_3(tmp_path, capsys):
    table = np.random.default_rng(0).normal(size=(200, 3))
    np.save(tmp_path / "x.npy", table)
    arguments = ("--data", tmp_path / "x.npy", "--out", tmp_path / "run", "--learning-rate", "1e30", "--no-report")
    assert run("train", "vae", *arguments) == 3
    assert "step" in capsys.readouterr().err


def test_ctrl_c_saves_says_how_to_resume_and_resumes(tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "isthmus", "train"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    more = ["vae", "--out", str(out), "--hidden", "16", "--max-epochs", "100", "--no-report", "--compile", "False"]
    process = subprocess.Popen(command + more, stderr=subprocess.PIPE, text=True, env=environment)
    deadline = time.monotonic() + 60
    while not (out / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"--resume --out {out}" in errors
    assert not (out / "model.safetensors").exists()
    assert run("train", "--resume", "--out", out, "--no-report", "--json") == 0
    assert len(isthmus.load(out).history_) == 100


def test_a_reader_that_has_seen_enough_is_no_error():
    process = subprocess.Popen(
        [sys.executable, "-m", "isthmus", "data", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")
