# What a person does on a fresh machine; runs inside it (enter.sh). WITH are further flags of `up`.
set -eu
for program in containerd runc nft ip conntrack busybox; do
  if command -v "$program"; then
    echo "this machine is not fresh" >&2
    exit 1
  fi
done
trap 'cargo xtask down --dir "$STATE"' EXIT
# shellcheck disable=SC2086 # several words, none with a blank
cargo xtask up --dir "$STATE" --netns "$NETWORK" $WITH
cargo xtask status --dir "$STATE"
