#!/bin/sh
# Makes ca.pem, edge.pem and edge.key with openssl, for 127.0.0.1: to try this example, and for nothing else.
set -e
cd "$(dirname "$0")"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
  -subj "/CN=trial authority" -keyout ca.key -out ca.pem
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
  -subj "/CN=edge" -keyout edge.key -out edge.csr
printf 'subjectAltName=IP:127.0.0.1' > edge.ext
openssl x509 -req -in edge.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 \
  -extfile edge.ext -out edge.pem
rm -f edge.csr edge.ext ca.srl
