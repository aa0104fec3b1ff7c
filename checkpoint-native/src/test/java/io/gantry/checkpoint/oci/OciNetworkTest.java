package io.gantry.checkpoint.oci;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.linux.NetworkThread;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class OciNetworkTest {
  @TempDir Path directory;

  private OciBundle bundle(String namespace, String hooks) throws IOException {
    Files.writeString(directory.resolve("config.json"), "{\"linux\": {\"namespaces\": [%s]}, \"hooks\": {%s}}".formatted(namespace, hooks));
    return OciBundle.read(directory);
  }

  private List<String> refusals(Path path) throws IOException {
    var bundle = bundle("{\"type\": \"network\", \"path\": \"" + path + "\"}", "");
    return OciNetwork.preflight(bundle.networkPath()).stream().map(Finding::sentence).toList();
  }

  @Test
  void aNamespaceThatIsJoinedMustBeThereAndFree() throws IOException {
    Path missing = directory.resolve("missing");
    assertThat(refusals(missing)).singleElement().asString().contains(missing + ", the network namespace that its config.json joins, is not on this host");
    Path file = Files.createFile(directory.resolve("file"));
    assertThat(refusals(file)).singleElement().asString().contains(file + ", the network namespace");
    assertThat(refusals(Path.of("/proc/self/ns/net"))).as("the node's own").isEmpty();
    assertThat(OciNetwork.preflight(bundle("{\"type\": \"network\"}", "").networkPath())).as("one that is made").isEmpty();
    var other = new ProcessBuilder("unshare", "--net", "sleep", "60").start();
    try {
      int pid = (int) other.pid();
      await("its namespace").atMost(Duration.ofSeconds(5)).until(() -> NetworkThread.isElsewhere(pid));
      assertThat(refusals(Path.of("/proc/" + pid + "/ns/net"))).singleElement().asString().startsWith("process " + pid + " is in /proc/" + pid + "/ns/net");
    } finally {
      other.destroyForcibly();
    }
  }

  @Test
  void whoJoinsANetworkNamespaceFromOutsideIsNamed() throws IOException {
    var container = new ProcessBuilder("unshare", "--net", "--pid", "--fork", "sleep", "60").start();
    try {
      await("its first process").atMost(Duration.ofSeconds(5)).until(() -> container.children().count() == 1);
      int first = (int) container.children().findFirst().orElseThrow().pid();
      var findings = OciNetwork.obstacles(bundle("{\"type\": \"network\"}", ""), first);
      // The one that waits for the first process is in the network namespace and not in the other.
      assertThat(findings).singleElement().satisfies(finding -> assertThat(finding.sentence()).contains("process " + container.pid() + " of the host"));
      assertThat(OciNetwork.obstacles(bundle("{\"type\": \"network\"}", ""), (int) ProcessHandle.current().pid())).as("in the node's own").isEmpty();
    } finally {
      container.descendants().forEach(ProcessHandle::destroyForcibly);
      container.destroyForcibly();
    }
  }

  @Test
  void hooksThatComeBeforeTheProgramAreNoticed() throws IOException {
    assertThat(bundle("", "\"createRuntime\": [{\"path\": \"/bin/true\"}]").earlyHooks()).isTrue();
    assertThat(bundle("", "\"poststart\": [{\"path\": \"/bin/true\"}], \"prestart\": []").earlyHooks()).isFalse();
  }
}
