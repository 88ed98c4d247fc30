#!/bin/bash
# Receivers that are down, slow, wrong or throttling, disks that are full, slow or damaged, and kills: what was accepted arrives, or is counted.
. "$(dirname "$0")/functions.sh"

[ -e "$plugin_dir/remote_write.so" ] || skip "the plugin remote_write is not built"
mkdir "$scratch/runs"
PYTHONDONTWRITEBYTECODE=1 python3 "$here/remote_write_faults.py" "$scratch/runs" > "$scratch/cases" 2>&1
cat "$scratch/cases"
failures=$((failures + $(grep -c '^not ok' "$scratch/cases")))
check "all cases were run" grep -qE '^[0-9]+ passed' "$scratch/cases"
finish
