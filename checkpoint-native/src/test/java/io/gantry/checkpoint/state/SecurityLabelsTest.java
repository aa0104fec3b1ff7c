package io.gantry.checkpoint.state;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** On a directory that looks like that of a host with a security module. */
class SecurityLabelsTest {
  private static final int PID = 4711;
  private static final int THREAD = 4712;

  @TempDir Path proc;

  private void label(String task, String name, String label) throws IOException {
    var file = proc.resolve(task).resolve("attr").resolve(name);
    Files.createDirectories(file.getParent());
    Files.writeString(file, label);
  }

  private void labelThreads(String name, String first, String second) throws IOException {
    label(PID + "/task/" + PID, name, first);
    label(PID + "/task/" + THREAD, name, second);
  }

  @Test
  void whoHasTheAgentsLabelCanBeCarried() throws IOException {
    label("self", "current", "system_u:system_r:container_runtime_t:s0\0");
    labelThreads("current", "system_u:system_r:container_runtime_t:s0\0", "system_u:system_r:container_runtime_t:s0\0");
    labelThreads("exec", "", "");
    var labels = SecurityLabels.in(proc);
    assertThat(labels.own()).isEqualTo("current=system_u:system_r:container_runtime_t:s0");
    assertThat(labels.obstacles(PID)).isEmpty();
  }

  @Test
  void threadUnderAnotherLabelIsFound() throws IOException {
    label("self", "current", "unconfined\n");
    label("self", "apparmor/current", "unconfined\n");
    labelThreads("current", "unconfined\n", "docker-default (enforce)\n");
    labelThreads("apparmor/current", "unconfined\n", "docker-default (enforce)\n");
    assertThat(SecurityLabels.in(proc).obstacles(PID))
        .singleElement()
        .satisfies(
            finding -> {
              assertThat(finding.pid()).isEqualTo(PID);
              assertThat(finding.kind()).isEqualTo("security label");
              assertThat(finding.sentence())
                  .isEqualTo(
                      "thread 4712 runs under the label current=docker-default (enforce), apparmor/current=docker-default (enforce) (/proc/PID/attr), but this"
                          + " agent, and so a copy, under current=unconfined, apparmor/current=unconfined; run both under one");
            });
  }

  @Test
  void labelThatWasAskedForIsFound() throws IOException {
    label("self", "current", "staff_t\0");
    labelThreads("current", "staff_t\0", "staff_t\0");
    label(PID + "/task/" + THREAD, "sockcreate", "other_t\0");
    assertThat(SecurityLabels.in(proc).obstacles(PID))
        .singleElement()
        .satisfies(finding -> assertThat(finding.sentence()).contains("thread 4712 has asked for the label sockcreate=other_t"));
  }

  @Test
  void nothingIsLookedAtWhereNoModuleLabels() throws IOException {
    // There is no such process in it, which would be said otherwise.
    assertThat(SecurityLabels.in(proc).obstacles(PID)).isEmpty();
  }
}
