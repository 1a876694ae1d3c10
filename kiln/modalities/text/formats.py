"""Text files: extensions, supported kinds, and remedies for those that are not supported."""

from kiln.core.formats import sniff

# Between the texts of several columns of a row: the control character "record separator", which no text needs.
SEPARATOR = "\x1e"
# In the place of a word that augmentation hides: the control character "substitute". Clean leaves none in a text.
MASKED = "\x1a"
# Documents that hold more than text, by their extensions.
_DOCUMENTS = {".doc": "Word", ".docx": "Word", ".odt": "OpenDocument", ".pdf": "PDF", ".rtf": "RTF", ".epub": "EPUB"}
_AS_TEXT = "save them as plain text (.txt, UTF-8)"
_REMEDIES = {
    "PDF": f"take out their text, as `pdftotext` does, and {_AS_TEXT}",
    **dict.fromkeys(["Word", "OpenDocument", "RTF", "EPUB", "PostScript", "Office or Thumbs.db (OLE)"], _AS_TEXT),
    **dict.fromkeys([".htm", ".html", ".md", ".json", ".xml", ".log"], "if they are the texts, rename them to .txt"),
}
# What ``sniff`` calls text that has marks of some kind; clean reports what is left of HTML.
_MARKED = frozenset(["text", "HTML", "XML", "JSON"])
# Readable as text, but no text to learn from: pointers stand for files that are elsewhere.
_OTHERS = frozenset(["PDF", "PostScript", "SVG", "internet shortcut", "Git LFS pointer", "git-annex pointer"])
_OTHERS |= {"DVC pointer", "empty file"}
_BLANKS = b"\t\n\v\f\r\x1b\x85"
# Typed texts may hold some, such as backspaces; of arbitrary bytes one in ten is one.
_BYTES_PER_CONTROL = 24
_CONTROLS = bytes(code for code in (*range(32), 127) if code not in _BLANKS)


class TextFiles:
    """The modality ``text`` as sources need it; see ``kiln.modalities.base.FileKinds``."""

    name, noun = "text", "text"
    # No .md, since a README.md beside the samples is none; a file without a known extension is looked into.
    extensions = frozenset([".text", ".txt"])
    refused = _DOCUMENTS
    usual_formats = "plain text (.txt)"
    columns = ("text", "sentence", "content", "review", "question", "title")
    separator = SEPARATOR
    remedies = _REMEDIES

    def reads(self, head: bytes) -> bool:
        """Check, by a file's first ``formats.HEAD`` bytes, whether it is text in any encoding.

        A text may begin like a file of another kind, such as "BMW" like a bitmap, but has no zeros and few
        control characters; texts in UTF-16 and UTF-32 need their mark.
        """
        kind = sniff(head)
        if kind in _OTHERS or head.lstrip().startswith(b"{\\rtf"):
            return False
        controls = len(head) - len(head.translate(None, _CONTROLS))
        most = 0 if kind else len(head) // _BYTES_PER_CONTROL
        return kind in _MARKED or (bool(head.strip()) and 0 not in head and controls <= most)

    def encode(self, value: str) -> bytes:
        """Encode a string as UTF-8."""
        return value.encode()
