"""The `uri` of a bucket's credentials is one that the URL parsers of applications take."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from alibroker.brokers.oss.credentials import uri

KEY = "LTAI5tExample"
SECRETS = ["abcDEF123", "a/b+c=", "p@ss:word%41 #?[]", "schlüssel", "~-._!$&'()*,;"]
HOSTS = ["oss-cn-hangzhou.aliyuncs.com", "localhost:8006", "files.example.com"]
CASES = [
    (secret, host, uri(KEY, secret, host, "my-bucket")) for secret in SECRETS for host in HOSTS
]
RFC_3986 = re.compile(
    r"oss://(?P<user>(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-F]{2})+)"
    r":(?P<password>(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-F]{2})+)"
    r"@(?P<host>[a-z0-9.-]+)(?::(?P<port>[0-9]+))?(?P<path>/[a-z0-9-]+)"
)
NODE = """
const found = JSON.parse(require("fs").readFileSync(0, "utf8")).map(text => {
  const url = new URL(text);
  return [url.username, url.password, url.host, url.pathname].map(decodeURIComponent);
});
console.log(JSON.stringify(found));
"""
JAVA = """
import java.net.URI;
class Parse {
    public static void main(String[] texts) throws Exception {
        for (String text : texts) {
            URI uri = new URI(text).parseServerAuthority();
            String host = uri.getHost() + (uri.getPort() < 0 ? "" : ":" + uri.getPort());
            String line = String.join("\\t", uri.getUserInfo(), host, uri.getPath());
            System.out.println(new String(line.getBytes("UTF-8"), "ISO-8859-1"));
        }
    }
}
"""


@pytest.mark.parametrize(("secret", "host", "text"), CASES)
def test_python_takes_it_and_so_do_the_rules(secret: str, host: str, text: str) -> None:
    found = urlsplit(text)
    assert found.username == KEY
    assert unquote(found.password or "") == secret
    assert found.netloc.rpartition("@")[2] == host
    assert found.port == (8006 if ":" in host else None)
    assert found.path == "/my-bucket"
    # What Go takes is a little less than the grammar; this is within both.
    assert RFC_3986.fullmatch(text)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_javascript_takes_it() -> None:
    told = json.dumps([text for _, _, text in CASES])
    answer = subprocess.run(
        ["node", "-e", NODE], input=told, capture_output=True, text=True, timeout=60, check=True
    )
    wanted = [[KEY, secret, host, "/my-bucket"] for secret, host, _ in CASES]
    assert json.loads(answer.stdout) == wanted


@pytest.mark.skipif(shutil.which("javac") is None, reason="needs a Java development kit")
def test_java_takes_it(tmp_path: Path) -> None:
    program = tmp_path / "Parse.java"
    program.write_text(JAVA)
    texts = [text for _, _, text in CASES]
    command = ["java", "-Dstdout.encoding=ISO-8859-1", "-Dfile.encoding=ISO-8859-1"]
    answer = subprocess.run(
        [*command, str(program), *texts], capture_output=True, timeout=110, check=True
    )
    found = [line.split("\t") for line in answer.stdout.decode().splitlines()]
    assert found == [[f"{KEY}:{secret}", host, "/my-bucket"] for secret, host, _ in CASES]
