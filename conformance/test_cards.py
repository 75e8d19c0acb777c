"""Model cards against huggingface_hub, which is what the hub reads them with."""

import json

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.repocard import metadata_load


@pytest.fixture
def model(demo, lep, tmp_path):
    """A result of the demo, tuned for a step by a LoRA and merged: three kinds of folders with cards."""
    instruct = demo.instruct
    data = tmp_path / "chats.jsonl"
    row = {"messages": [{"role": "user", "content": "Repeat.\n\nYes."}, {"role": "assistant", "content": "Yes."}]}
    data.write_text((json.dumps(row) + "\n") * 4)
    lep("train", "--model", instruct, "--data", data, "--task", "sft", "--train", "lora", "--max-steps", 1, "--out", tmp_path / "adapter")
    lep("merge", "--model", instruct, "--adapter", tmp_path / "adapter", "--out", tmp_path / "merged")
    return tmp_path


def test_cards_are_read_as_they_are_meant(model, lep):
    results = model / "results"
    results.mkdir()
    (results / "results.json").write_text(json.dumps({
        "results": {"parus": {"acc": 0.5, "acc_stderr": 0.1}, "multiq": {"f1": 0.25, "em": 0}},
        "scores": {"parus": {"score": 0.5, "low": 0.25, "high": 0.75}, "multiq": {"score": 0.125, "low": 0, "high": 0.3}},
        "n-shot": {"parus": 5, "multiq": 0}, "n-samples": {"parus": {"original": 20, "effective": 20}, "multiq": {"original": 8, "effective": 8}},
    }))
    lep("publish", model / "merged", "--repo-id", "me/tuned", "--license", "other", "--license-name", "llama3: yes", "--license-link",
        "https://example.org/a#b", "--language", "ru,no", "--base-model", "me/instruct", "--dataset", "me/texts", "--results", results,
        "--tidy", "--skip-check")
    card = ModelCard.load(model / "merged" / "README.md")
    assert card.data.language == ["ru", "no"], "no is a language, not false"
    assert (card.data.license, card.data.license_name, card.data.license_link) == ("other", "llama3: yes", "https://example.org/a#b")
    assert card.data.base_model == ["me/instruct"] and card.data.datasets == ["me/texts"]
    assert card.data.library_name == "transformers" and card.data.pipeline_tag == "text-generation"
    assert metadata_load(model / "merged" / "README.md")["base_model_relation"] == "finetune"
    found = {(r.task_name, r.metric_type): r.metric_value for r in card.data.eval_results}
    assert found == {("parus", "acc"): 0.5, ("multiq", "f1"): 0.25, ("multiq", "em"): 0}
    assert 'from_pretrained("me/tuned"' in card.text


def test_every_card_of_the_demo_is_valid(demo, model):
    cards = [*demo.stages.rglob("README.md"), *model.rglob("README.md")]
    assert cards
    for path in cards:
        card = ModelCard.load(path)
        assert card.data.library_name in ("transformers", "peft") and card.data.base_model, path
        assert card.data.pipeline_tag == "text-generation" and "lep" in card.data.tags, path


def test_foreign_cards_are_kept(model, lep):
    path = model / "merged" / "README.md"
    before = "---\nlicense: mit\nlanguage: en\nwidget:\n- text: 'no'\n  n: [1, 2.5]\nco2_eq_emissions:\n  emissions: 1.5e3\n---\n\n# T\n\n## Use\n\n```\n## x\n```\n"
    path.write_text(before)
    lep("publish", model / "merged", "--language", "ru", "--skip-check", check=False)
    want = {"license": "mit", "language": ["ru"], "widget": [{"text": "no", "n": [1, 2.5]}], "co2_eq_emissions": {"emissions": "1.5e3"}}
    got = metadata_load(path)
    emissions = got["co2_eq_emissions"].pop("emissions"), want["co2_eq_emissions"].pop("emissions")
    assert float(emissions[0]) == float(emissions[1]) == 1500
    assert got == want
    assert path.read_text().endswith("# T\n\n## Use\n\n```\n## x\n```\n")
