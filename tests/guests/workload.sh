# SPDX-License-Identifier: GPL-2.0-or-later
# Work whose results are the same on any correct machine; run by workload.py in the guest and on
# the host, under the same busybox.  Writes only into the current folder.
one() { printf '%s: ' "$1"; shift; "$@" 2>&1 | sha256sum | cut -c1-32; }

primes() {
    awk 'BEGIN { for (i = 2; i < 12000; i++) if (!c[i]) { print i; for (j = i * 2; j < 12000; j += i) c[j] = 1 } }'
}
floats() {
    awk 'BEGIN { for (i = 1; i < 6000; i++) { s += sin(i) * sqrt(i); p = exp(cos(i) * log(i + 1) / 5)
                 if (i % 100 == 0) printf "%.6f %.6f %.6f\n", s, p, atan2(s, p) } }'
}
words() { awk 'BEGIN { x = 1; for (i = 0; i < 6000; i++) { x = (x * 16807) % 2147483647; printf "%08x w%d\n", x, x % 997 } }'; }
count() { words | cut -d' ' -f2 | sort | uniq -c | sort -rn; }
edit() { words | sed -e 's/\([0-9a-f]*\) \(.*\)/\2:\1/' -e '/w9/d' -e 'y/abc/xyz/'; }
numbers() { i=0 s=0; while [ $i -lt 5000 ]; do i=$((i + 1)); s=$(((s * 31 + i) % 1000003)); done; echo $s; }
functions() { fib() { if [ "$1" -lt 2 ]; then r=1; else fib $(($1 - 1)); set -- "$1" $r; fib $(($1 - 2)); r=$((r + $2)); fi; }; fib 12; echo "$r"; }
pack() { words >w; gzip -c w >w.gz; gunzip -c w.gz | cmp - w && wc -c <w; }
tarball() { mkdir -p d/e; words >d/1; primes >d/e/2; tar cf - d | tar xf - -O | sort | md5sum; rm -r d; }
sums() { words >w; sha1sum w; sha512sum w; sha3sum w; crc32 w; }
codes() { words | head -c 40000 | base64 | base64 -d | od -An -tx4 | tail -100; }
trees() { i=0; while [ $i -lt 100 ]; do mkdir -p "t/$((i % 17))"; echo $i >"t/$((i % 17))/$i"; i=$((i + 1)); done; find t -type f | sort | xargs cat | md5sum; rm -r t; }
processes() { i=0; while [ $i -lt 60 ]; do (exit $((i % 7))) || echo $?; i=$((i + 1)); done | sort | uniq -c; }
pipes() { words | cat | cat | tr a-f A-F | cat | tail -n 5000 | rev | cat; }
bzip() { words | bzip2 -c | bunzip2 -c | tac | head -1000; }
numeric() { echo '12345678901234567 987654321 * 7 / 3 + p 2 100 ^ p' | dc; expr 123456789 \* 1000 / 7; factor 600851475143; }
together() { for n in 1 2 3 4; do (count >out.$n) & done; wait; cat out.1 out.2 out.3 out.4; rm out.?; }

for w in primes floats count edit numbers functions pack tarball sums codes trees processes pipes \
         bzip numeric together; do
    one $w $w
done
