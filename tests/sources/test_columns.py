import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from makers.images import png
from makers.tables import IMAGES, face, laid, parquet, picture, told

from kiln.core.errors import UserError
from kiln.sources import classnames, columns, records


def test_decimals_and_zeros_stay_text(tmp_path):
    text = 'path;label\nimages/a.png;1,50\nimages/b.png;007\nimages/c.png;"1;5"\n'
    found, _ = told(laid(tmp_path, {**IMAGES, "manifest.csv": text}))
    assert [label for _, label, _ in found] == ["1,50", "007", "1;5"]


def test_labels_are_tidied_and_that_is_noted_with_counts(tmp_path):
    text = "path,label\nimages/a.png, cat\nimages/b.png,cat\u200b \nimages/c.png,caf\u0065\u0301\n"
    found, surprises = told(laid(tmp_path, {**IMAGES, "manifest.csv": text}))
    assert [label for _, label, _ in found] == ["cat", "cat", "caf\u00e9"]
    assert surprises.notes.counts == {classnames.TIDIED: 3}
    assert "cat\\u200b " in surprises.notes.examples[classnames.TIDIED][1]
    face(tmp_path / "p", "x.parquet", [picture(0), picture(1)], ["cat ", "\ufeffdog"])
    surprises = records.Surprises()
    assert [one.label for one in parquet(tmp_path / "p", surprises)] == ["cat", "dog"]
    assert surprises.notes.counts == {classnames.TIDIED: 2}


@pytest.mark.parametrize(
    ("one", "other", "seen"),
    [
        ("cat", "Cat", "'cat' and 'Cat'"),
        ("big cat", "big  cat", "'big cat' and 'big  cat'"),
        ("big cat", "big\u00a0cat", r"'big cat' and 'big\\xa0cat'"),
        ("fine", "\ufb01ne", r"'fine' and '\\ufb01ne'"),
    ],
)
def test_labels_that_look_the_same_are_refused_in_tables_and_parquet(tmp_path, one, other, seen):
    with pytest.raises(UserError, match=f"has the classes {seen}, which differ only by case"):
        told(laid(tmp_path, {**IMAGES, "manifest.csv": f"path,label\nimages/a.png,{one}\nimages/b.png,{other}\n"}))
    face(tmp_path / "p", "x.parquet", [picture(0), picture(1)], [one, other])
    with pytest.raises(UserError, match=f"has the classes {seen}, which"):
        parquet(tmp_path / "p")


def test_single_letters_that_differ_by_case_are_noted(tmp_path):
    text = "path,label\nimages/a.png,a\nimages/b.png,A\nimages/c.png,A\n"
    found, surprises = told(laid(tmp_path, {**IMAGES, "manifest.csv": text}))
    assert [label for _, label, _ in found] == ["a", "A", "A"]
    assert surprises.notes.counts == {"class that differs from another only by case or Unicode form": 1}


def test_text_that_may_mean_no_label_is_a_name_and_noted_once(tmp_path):
    text = "path,label\nimages/a.png,nan\nimages/b.png,nan\nimages/c.png,x\n"
    found, surprises = told(laid(tmp_path, {**IMAGES, "manifest.csv": text}))
    assert [label for _, label, _ in found] == ["nan", "nan", "x"]
    assert surprises.notes.counts == {
        "class name that may stand for a missing label; leave the label empty if it does": 1
    }


@pytest.mark.parametrize("column", ["is_valid", "is_test"])
def test_flags_are_read_as_splits(tmp_path, column):
    text = f"path,label,{column}\na,x,True\nb,y,0\nc,y,false\n"
    found, _ = told(laid(tmp_path, {**IMAGES, "manifest.csv": text}))
    assert [split for *_, split in found] == [columns.FLAGS[column], "train", "train"]
    rows = {"image": [png(0), png(1)], "label": ["x", "y"], column: [False, True]}
    pq.write_table(pa.table(rows), tmp_path / "x.parquet")
    assert [record.split for record in parquet(tmp_path / "x.parquet")] == ["train", columns.FLAGS[column]]
    with pytest.raises(UserError, match=f"line 2: {column} is perhaps, but should be 0 or 1"):
        told(laid(tmp_path, {"manifest.csv": f"path,label,{column}\na,x,perhaps\n"}))


@pytest.mark.parametrize(
    ("value", "split"),
    [("Training", "train"), (" dev-0000", "validation"), ("x-test", "test"), ("validation_set", "validation")],
)
def test_values_of_a_split_column_are_read_by_the_rule_for_names(tmp_path, value, split):
    text = f"path,label,split\na,x,{value}\n"
    assert told(laid(tmp_path, {**IMAGES, "manifest.csv": text}))[0] == [("images/a.png", "x", split)]


ONE_HOT = "image,MEL,NV,age\na,1.0,0.0,30\nb,0.0,1.0,40\nc,0.0,0.0,50\n"


def test_one_hot_columns_are_told_and_read_by_a_list(tmp_path):
    path = laid(tmp_path, {**IMAGES, "manifest.csv": ONE_HOT})
    with pytest.raises(
        UserError, match=r"; MEL, NV look one-hot, which fetch\.source\.label_column: \[MEL, NV\] reads"
    ):
        told(path, column="image")
    found, surprises = told(path, column="image", label_column=["MEL", "NV"])
    assert [label for _, label, _ in found] == ["MEL", "NV"]
    assert surprises.skipped.counts == {"row without a label": 1}
    laid(tmp_path, {"short.csv": f"{ONE_HOT}d\n"})
    with pytest.raises(
        UserError, match=r"has no column label, but image, MEL, NV, age: name it by fetch\.source\.label_column$"
    ):
        told(path, manifest="short.csv", column="image")
    (tmp_path / "short.csv").unlink()
    with pytest.raises(UserError, match="line 2: age is 30, but should be 0 or 1"):
        told(path, column="image", label_column=["MEL", "age"])
    laid(tmp_path, {"manifest.csv": "image,MEL,NV\na,1,1\n"})
    with pytest.raises(UserError, match="line 2: MEL, NV are 1 at once, but a sample has one class"):
        told(path, column="image", label_column=["MEL", "NV"])


@pytest.mark.parametrize("kind", [pa.int8(), pa.bool_(), pa.float64()])
def test_one_hot_columns_of_parquet(tmp_path, kind):
    columns = {"cat": pa.array([1, 0]).cast(kind), "dog": pa.array([0, 1]).cast(kind), "name": ["p", "q"]}
    pq.write_table(pa.table({"image": [png(0), png(1)], **columns}), tmp_path / "x.parquet")
    with pytest.raises(
        UserError, match=r"; cat, dog look one-hot, which fetch\.source\.label_column: \[cat, dog\] reads"
    ):
        parquet(tmp_path / "x.parquet")
    assert [r.label for r in parquet(tmp_path / "x.parquet", label_column=["cat", "dog"])] == ["cat", "dog"]
    pq.write_table(pa.table({"path": ["a", "b"], **columns}), laid(tmp_path, IMAGES) / "m.parquet")
    with pytest.raises(UserError, match="cat, dog look one-hot"):
        told(tmp_path, manifest="m.parquet")
    found, _ = told(tmp_path, manifest="m.parquet", label_column=["cat", "dog"])
    assert [label for _, label, _ in found] == ["cat", "dog"]
