# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work
# `problem TEXT`: stands in the way. `will TEXT`: will be changed. Plus the questions that several steps ask.
# ---
problem() { printf '%s\n' "$*" >>"$work/problems"; }
will() { printf '%s\n' "$*" >>"$work/will"; }
new_file() { if [ ! -e "$1" ]; then will "adds $1: $2"; fi; }
# PROTOCOL START END WHO lines: those in no range of $work/open, as one text.
closed_ports() {
  awk -v open="$work/open" '
    BEGIN { while ((getline line < open) > 0) { split(line, p, " "); n++; kind[n] = p[1]; from[n] = p[2] + 0; to[n] = p[3] + 0 } }
    {
      covered = 0
      for (i = 1; i <= n; i++) if (kind[i] == $1 && from[i] <= $2 + 0 && $3 + 0 <= to[i]) covered = 1
      text = $1 " " ($2 == $3 ? $2 : $2 "-" $3) ($4 == "" ? "" : " (" $4 ")")
      if (!covered && !(text in seen)) { seen[text] = 1; out = out (out == "" ? "" : ", ") text }
    }
    END { printf "%s", out }'
}
