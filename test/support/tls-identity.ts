/** Certificates for tests, good for a hundred years: a node's of the cluster's authority, and one of a stranger's. */

import type { TlsIdentity } from '../../src/env.ts';

const authority = `-----BEGIN CERTIFICATE-----
MIIBiTCCAS+gAwIBAgIUYs3yK4FxZ8rJNTB4YZrAfiqu9rIwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOa3ZvcnVtIHRlc3QgY2EwIBcNMjYxMTIxMTYxNzQ2WhgPMjEy
NjEwMjgxNjE3NDZaMBkxFzAVBgNVBAMMDmt2b3J1bSB0ZXN0IGNhMFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEIwijcV57j3QhEgWLw9sXXDz8BhCTopj90Gny8T+5
QXCAYWLmGjtE74wYKraCLQhTCAQKYNKmIrrHVPk65tFM6qNTMFEwHQYDVR0OBBYE
FGK6ZoZQnrRmhawricV5mP4/uHNPMB8GA1UdIwQYMBaAFGK6ZoZQnrRmhawricV5
mP4/uHNPMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIgO541op7W
qXKLKJUmNezoWu/75SFimivAj8wgdIPgj+4CIQC+g00RyI6KW3en3Q96wQKqrEvE
YEWdkFi0FROdGobSgw==
-----END CERTIFICATE-----
`;

/** A node of the cluster. */
export const trusted: TlsIdentity = {
  ca: authority,
  cert: `-----BEGIN CERTIFICATE-----
MIIBJDCBywIUE0YIMT8leikljv1Lr2dj1XFojEgwCgYIKoZIzj0EAwIwGTEXMBUG
A1UEAwwOa3ZvcnVtIHRlc3QgY2EwIBcNMjYxMTIxMTYxNzQ3WhgPMjEyNjEwMjgx
NjE3NDdaMA8xDTALBgNVBAMMBG5vZGUwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AATs2Y5J8rB1CIRnOTlasrMYJ1i7Sg1bBC4fIUEmOsCfo7Ii5TOgU2x1Oumu+qK4
e7YM8Hbq0wtpO0VIdiTx8SNEMAoGCCqGSM49BAMCA0gAMEUCIDCES8xvzvDKjDcu
1azFkMRtjhRta3kv6CAnDF09tDrCAiEAmEGq0KUkkLK2soX22HkjkSiCHlO9PWbB
JuUiBqYVaTY=
-----END CERTIFICATE-----
`,
  key: `-----BEGIN EC PRIVATE KEY-----
MHcCAQEEINvNyecpXPN67gLJAHR2z6D4svuGejFmIE7AzjuNR2lCoAoGCCqGSM49
AwEHoUQDQgAE7NmOSfKwdQiEZzk5WrKzGCdYu0oNWwQuHyFBJjrAn6OyIuUzoFNs
dTrprvqiuHu2DPB26tMLaTtFSHYk8fEjRA==
-----END EC PRIVATE KEY-----
`,
};

/** Takes the cluster's nodes for good, but shows a certificate that they do not know. */
export const stranger: TlsIdentity = {
  ca: authority,
  cert: `-----BEGIN CERTIFICATE-----
MIIBJjCBzgIUasl3pY1cSrNmnWuXqln+E4amWb4wCgYIKoZIzj0EAwIwHDEaMBgG
A1UEAwwRa3ZvcnVtIHRlc3Qgb3RoZXIwIBcNMjYxMTIxMTYxNzQ3WhgPMjEyNjEw
MjgxNjE3NDdaMA8xDTALBgNVBAMMBG5vZGUwWTATBgcqhkjOPQIBBggqhkjOPQMB
BwNCAATZR2F+IcdCFNwJQW11mxyr66xYQRbX0XWGzbEVWCeSg7mR8fyX3C2l9JDs
6KZ/kD4+zlsPzW4ysQ/bHE4wrfrFMAoGCCqGSM49BAMCA0cAMEQCIC6yolcheuYx
FlqDyKei1ScUj1PCTjn6+7VOCCCTVGOaAiAE2p443RTETyHSLW5WezeWfe6DNXUq
ao7jy7esTsfqqw==
-----END CERTIFICATE-----
`,
  key: `-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIGW/GGUFKXFjYaQlVpZlxJyQpyAXO2+sxogxNI8Wx23hoAoGCCqGSM49
AwEHoUQDQgAE2UdhfiHHQhTcCUFtdZscq+usWEEW19F1hs2xFVgnkoO5kfH8l9wt
pfSQ7Oimf5A+Ps5bD81uMrEP2xxOMK36xQ==
-----END EC PRIVATE KEY-----
`,
};
