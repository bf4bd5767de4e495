# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work $guard $guarded
# After the unmounts, which may have had something on or below a bind of the guard's.
# ---
: >"$work/left-guarded"
if [ -x "$guard" ] && ! "$guard" off; then
  printf 'What people wrote stays guarded in these places until the next start of the machine:\n'
  cat -- "$guarded" | tee "$work/left-guarded"
fi
if [ ! -s "$guarded" ]; then rm -f -- "$guarded" "$guarded.lock"; fi
fact_json leftGuarded "$(json_lines <"$work/left-guarded")"
