#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# userland.sh BENCH - a mix of Debian's own programs; each line of work is timed by 'BENCH time'.
bench=$1
export LC_ALL=C PATH=/usr/bin:/bin
mkdir -p /tmp/w && cd /tmp/w || exit 1

cat >loop.bash <<'END'
declare -A seen
for ((i = 0; i < 4000; i++)); do
    key=k$((i * 7919 % 997))
    seen[$key]=$((${seen[$key]:-0} + i))
    text="item ${i} ${key^^}"
    [[ $text =~ ([0-9]+)\ K([0-9]+) ]] && sum=$(((sum + ${BASH_REMATCH[1]} * ${BASH_REMATCH[2]}) % 1000003))
done
[ "$sum" = 606403 ] || { echo "bash: sum $sum"; exit 1; }
END
cat >work.py <<'END'
import collections, json, re
words = [f"w{i * 7919 % 4999}" for i in range(60000)]
count = collections.Counter(words)
text = json.dumps({w: {"n": n, "sq": n * n} for w, n in count.items()})
back = json.loads(text)
found = sum(len(m) for m in re.findall(r'"w(\d+)": \{"n": 1', text))
class Node:
    def __init__(self, v): self.v, self.kids = v, []
root, nodes = Node(0), [Node(0)]
for i in range(1, 20000):
    n = Node(i); nodes[i * 31 % len(nodes)].kids.append(n); nodes.append(n)
total = sum(len(n.kids) * n.v for n in nodes)
sieve = bytearray([1]) * 200000
for i in range(2, 450):
    if sieve[i]: sieve[i * i::i] = bytes(len(range(i * i, 200000, i)))
assert sum(sieve) - 2 == 17984 and len(back) == 4999, (sum(sieve), len(back))
END
cat /lib/x86_64-linux-gnu/libc.so.6 /usr/lib/x86_64-linux-gnu/libcrypto.so.3 | head -c 2000000 >data

$bench time bash bash loop.bash
$bench time python python3.11 work.py
$bench time openssl bash -c 'openssl dgst -sha256 data >/dev/null; openssl enc -aes-128-cbc -K 00112233445566778899aabbccddeeff -iv 00 -in data -out enc 2>/dev/null; openssl prime -hex 1ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff | grep -q "is prime" || exit 1; openssl dgst -md5 enc >/dev/null'
$bench time tar bash -c 'tar cf t.tar /usr/lib/python3.11/encodings 2>/dev/null; for n in 1 2 3; do mkdir -p x; tar xf t.tar -C x; rm -r x; done'
$bench time gzip bash -c 'gzip -c data >data.gz; gzip -dc data.gz | cmp - data'
$bench time xz bash -c 'xz -1 -c data >data.xz; xz -dc data.xz | cmp - data'
