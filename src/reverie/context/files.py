"""The part of the system prompt that shows folders and open files."""

from collections.abc import Sequence

from reverie.domain.agent import Agent
from reverie.domain.folder import DEFAULT_FILES_OPEN, DEFAULT_VIEW_CHARS, AttachedFolder, FileView


def folder_facts(folders: Sequence[AttachedFolder]) -> list[object]:
    """Everything that `render_folders` shows of them, for the prompt's fingerprint."""
    return [
        (
            attached.folder.name,
            attached.folder.description,
            attached.folder.instructions,
            attached.file_count,
            [(view.file_name, view.is_open, view.text) for view in attached.files],
        )
        for attached in folders
    ]


def render_folders(agent: Agent, folders: Sequence[AttachedFolder]) -> str:
    """The agent's folders with their files; of the open ones what it sees."""
    most = DEFAULT_FILES_OPEN if agent.max_files_open is None else agent.max_files_open
    chars = agent.per_file_view_window_char_limit
    window = DEFAULT_VIEW_CHARS if chars is None else chars
    opened = sum(view.is_open for attached in folders for view in attached.files)
    limits = f"<file_limits>\n- current_files_open={opened}\n- max_files_open={most}\n</file_limits>"
    parts = [limits, *(_folder(attached, window) for attached in folders)]
    return "<directories>\n" + "\n".join(parts) + "\n</directories>"


def _folder(attached: AttachedFolder, window: int) -> str:
    folder = attached.folder
    lines = [f'<directory name="{_quoted(folder.name)}">']
    if folder.description:
        lines.append(f"<description>{folder.description}</description>")
    if folder.instructions:
        lines.append(f"<instructions>{folder.instructions}</instructions>")
    lines += [_file(view, window) for view in attached.files]
    unlisted = attached.file_count - len(attached.files)
    if unlisted > 0:
        lines.append(f"({unlisted} more files are not listed; grep_files and semantic_search_files find them)")
    lines.append("</directory>")
    return "\n".join(lines)


def _file(view: FileView, window: int) -> str:
    name = _quoted(view.file_name)
    if not view.is_open or view.text is None:
        return f'<file status="closed" name="{name}">\n</file>'
    return (
        f'<file status="open" name="{name}">\n<metadata>\n- chars_current={len(view.text)}\n- chars_limit={window}\n'
        f"</metadata>\n<value>\n{view.text}\n</value>\n</file>"
    )


def _quoted(name: str) -> str:
    return name.replace("&", "&amp;").replace('"', "&quot;")
