"""The tables of the zoo: MODEL_ZOO.md, terminal, command line."""

import re
from pathlib import Path

import pytest

from detectron2.config import LazyConfig
from projects_ext import zoo
from projects_ext.zoo.__main__ import main, parse, run
from projects_ext.zoo.text import BEGIN, END, details, listing, markdown
from tests.conftest import ROOT, load_script

update = load_script(ROOT / "tools" / "update_zoo_table.py")


def test_model_zoo_has_the_tables_of_the_data() -> None:
    text = (ROOT / "MODEL_ZOO.md").read_text()
    assert update.updated(text) == text, "run python tools/update_zoo_table.py"


def test_writing_leaves_the_rest_of_the_page_alone() -> None:
    text = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    new = update.updated(text)
    assert new == f"before\n{markdown()}\nafter\n"
    assert update.updated(new) == new


def test_a_page_without_the_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="add the lines <!-- zoo --> and <!-- /zoo -->"):
        update.updated("nothing")


def test_markdown_has_every_row_with_links_that_lead_somewhere() -> None:
    text = markdown()
    links = re.findall(r"\]\((configs/[^)]+)\)", text)
    assert len(links) == sum(len(table.rows) for table in zoo.tables())
    assert not [link for link in links if not (ROOT / link).is_file()]
    line = next(line for line in text.splitlines() if "grid_rcnn_r50_fpn_gn_groie_1x" in line)
    assert line.split(" | ")[1] == "–"


def test_listing_filters_by_words() -> None:
    assert len(listing().splitlines()) > 60
    found = listing(["GCNet", "r101", "cityscapes"]).splitlines()
    assert found[0] == "GCNet segmentation, Cityscapes (Cityscapes val)"
    assert len(found) == 3 + 4
    assert listing(["groie", "cityscapes"]) == ""


def test_details_name_what_was_not_published() -> None:
    text = details(zoo.find("groie/grid_rcnn_r50_fpn_gn_groie_1x"))
    assert re.search(r"box AP +not published", text)
    assert re.search(r"SHA-256 +4b75d86f", text)
    assert re.search(r"weights +no longer published", details(zoo.find("condinst_r50_fpn_ms_3x")))


def test_words_alone_are_a_listing(capsys: pytest.CaptureFixture[str]) -> None:
    main(["groie", "r101"])
    words_alone = capsys.readouterr().out
    main(["list", "groie", "r101"])
    assert capsys.readouterr().out == words_alone
    assert "groie/mask_rcnn_r101_fpn_syncbn_gcb_r4_groie_1x" in words_alone


def test_config_can_be_printed_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "printed.yaml"
    path.write_text(run(parse(["config", "groie/mask_rcnn_r50_fpn_groie_1x"])))
    printed, original = (
        LazyConfig.load(str(path)), zoo.get_config("groie/mask_rcnn_r50_fpn_groie_1x")
    )  # fmt: skip
    assert printed.train == original.train
    assert set(printed.model.roi_heads) == set(original.model.roi_heads)


def test_path_of_a_config() -> None:
    path = run(parse(["config", "mask_rcnn_r50_fpn_groie_1x", "--path"]))
    assert path == str(ROOT / "configs/groie/mask_rcnn_r50_fpn_groie_1x.py")


def test_overrides_may_stand_anywhere_behind_the_name() -> None:
    arguments = parse(["eval", "x", "a=1", "--weights", "w.pth", "b=2"])
    assert (arguments.overrides, arguments.weights) == (["a=1", "b=2"], "w.pth")


@pytest.mark.parametrize("words", [["eval", "x", "--wieghts", "w"], ["show", "x", "a=1"]])
def test_unknown_options_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(words)
    assert "unrecognized arguments" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nothing", "like", "this"], "no published experiment has the words"),
        (["show", "mask_rcnn_groie"], "there is no published experiment 'mask_rcnn_groie'"),
    ],
)
def test_mistakes_end_in_one_sentence(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(words)
    said = capsys.readouterr().err
    assert said.startswith(f"error: {sentence}")
    assert said.count("\n") == 1
