#!/usr/bin/env bash
# A campaign by GNU parallel, on this machine or on others: each job is a shard, and writes a journal of its own.
# usage: scripts/cluster/parallel.sh CAMPAIGN FOLDER SHARDS [OPTION OF PARALLEL...]
#   for example: parallel.sh campaign.toml out 100 --sshloginfile hosts --workdir . --eta
#   Started again, it runs only the shards that have not ended well.
set -u
if [ $# -lt 3 ]; then
    sed -n '3,5p' "$0" | cut -c3- >&2
    exit 2
fi
campaign=$1 folder=$2 shards=$3
shift 3
case $shards in '' | *[!0-9]* | 0) echo "parallel.sh: '$shards' is no number of shards" >&2; exit 2 ;; esac
command -v parallel >/dev/null || { echo "parallel.sh: GNU parallel is not installed" >&2; exit 3; }
mkdir -p "$folder" || exit 3

# Findings (1) are a result, not a job that failed. One job a core, so one thread each.
export NETDMA_LAB=${NETDMA_LAB:-netdma-lab}
job='"$NETDMA_LAB" experiment run '$(printf %q "$campaign")' --resume --jobs 1 --shard {}/'$shards' --journal '$(printf %q "$folder")'/shard-{}.jsonl || [ $? -eq 1 ]'
seq "$shards" | parallel --env NETDMA_LAB --joblog "$folder/joblog" --resume-failed "$@" "$job"
