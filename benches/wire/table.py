"""The table of what was measured: medians, ranges, ratios to nginx, targets."""

# nginx against itself: where its own rounds are further apart than this, what is compared with it is not decided.
NOISY = 0.15


class Table:
    def __init__(self):
        self.lines, self.json, self.notes, self.has_failed = [], [], [], False

    def note(self, text):
        self.notes.append(text)

    def failed(self, part, why):
        self.has_failed = True
        self.note(f"FAILED {part}: {why}")

    def title(self, text, unit):
        self.lines.append(None)
        self.lines.append((f"{text}, {unit}", "median", "range", "to nginx", "target", ""))

    def row(self, what, subject, figures, nginx=None, ratio=None, absolute=None, best=None, digits=1):
        """One line. `ratio`: the most that it may be beside nginx; `absolute`: the most that it may be; `best`: the aim."""
        median = figures.median
        beside = median / nginx.median if nginx and nginx.median else None
        target = ratio if ratio is not None else absolute
        value = beside if ratio is not None else median
        verdict = ""
        if target is not None and value is not None:
            verdict = "ok" if value <= target else "MISSED"
            if best is not None and value <= best:
                verdict = "aim"
        noisy = nginx is not None and nginx.spread > NOISY or figures.spread > 2 * NOISY and len(figures.all) > 1
        if noisy and verdict:
            verdict += " (too noisy to decide)"
        show = lambda number: f"{number:,.{digits}f}"
        self.lines.append((
            f"  {subject}",
            show(median),
            f"{show(min(figures.all))} to {show(max(figures.all))}" if len(figures.all) > 1 else "",
            f"{beside:.2f}" if beside is not None else "",
            ("" if target is None else f"<= {target:g}" + ("x" if ratio is not None else "")),
            verdict,
        ))
        self.json.append({
            "row": what, "subject": subject, "median": median, "rounds": figures.all, "to_nginx": beside,
            "target": target, "target_is_ratio": ratio is not None, "verdict": verdict,
        })

    def told(self):
        return {"rows": self.json, "notes": self.notes}

    def text(self, about):
        lines = [line for line in self.lines if line]
        widths = [max((len(line[at]) for line in lines), default=0) for at in range(6)]
        out = ["; ".join(f"{name} {value}" for name, value in about.items()), ""]
        for line in self.lines:
            if line is None:
                out.append("")
                continue
            left, *rest = line
            cells = [left.ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(rest[:-1], widths[1:-1])]
            out.append(("  ".join(cells) + "  " + rest[-1]).rstrip())
        return "\n".join(out + [""] + self.notes)
