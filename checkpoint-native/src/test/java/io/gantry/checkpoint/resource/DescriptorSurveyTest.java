package io.gantry.checkpoint.resource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.RefusedException;
import io.gantry.checkpoint.linux.DescriptorTable;
import io.gantry.checkpoint.linux.Directory;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.testing.Workload;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.Pipe;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.stream.Stream;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class DescriptorSurveyTest {
  @ParameterizedTest
  @ValueSource(
      strings = {
        "io_uring",
        "perf_event",
        "bpf-map",
        "landlock-ruleset",
        "character device",
        "inotify",
        "fanotify",
        "userfaultfd",
        "netlink socket",
        "raw socket",
        "packet socket",
        "MPTCP socket",
        "vsock socket",
        "terminal",
        "mnt namespace",
        "POSIX message queue",
        "file of /proc",
        "file lease",
        "regular file",
        "TCP connection",
        "listening TCP socket",
        "UDP socket",
        "Unix socket"
      })
  void whatCannotBeCarriedIsNamedWithProcessAndDescriptor(String kind, @TempDir Path directory) {
    try (var move = Move.begin(kind, directory)) {
      int pid = move.processes().getFirst().pid();
      var survey = DescriptorSurvey.survey(List.of(pid));
      assertThat(survey.findings())
          .anySatisfy(
              finding -> {
                assertThat(finding.pid()).isEqualTo(pid);
                assertThat(finding.descriptor()).isEqualTo(10);
                assertThat(finding.kind()).isEqualTo(kind);
                assertThat(finding.sentence()).isNotBlank();
              });
      assertThatThrownBy(move::capture)
          .isInstanceOfSatisfying(
              RefusedException.class,
              refused -> assertThat(refused.findings()).extracting(Finding::kind).contains(kind));
    }
  }

  private static List<String> sentences(String how) {
    try (var workload = Workload.start("obstacle", how)) {
      workload.awaitLine("ready", Duration.ofSeconds(20));
      return DescriptorSurvey.survey(List.of(workload.pid())).findings().stream()
          .map(Finding::sentence)
          .filter(sentence -> sentence.contains("descriptor table"))
          .toList();
    }
  }

  @Test
  void threadWithADescriptorTableOfItsOwnIsLookedAtAsAProcessIs() {
    try (var workload = Workload.start("obstacle", "own-descriptors")) {
      workload.awaitLine("ready", Duration.ofSeconds(20));
      int own = Directory.numbers("/proc/" + workload.pid() + "/fd").length;
      assertThat(DescriptorSurvey.survey(List.of(workload.pid())).descriptors()).isEqualTo(2 * own);
    }
  }

  @Test
  void whatAThreadHasAloneAndOnlyProcessesCanHaveIsNamed() {
    assertThat(sentences("own-listener"))
        .hasSize(2)
        .allSatisfy(
            sentence ->
                assertThat(sentence)
                    .matches(
                        "thread [0-9]+ has it in a descriptor table of its own, where connections, memory files, message queues and locks on files cannot be carried"));
  }

  @Test
  void twoThreadsWithOneTableThatIsNotTheirProcessesAreNamed() {
    assertThat(sentences("descriptors-of-two"))
        .singleElement()
        .satisfies(
            sentence ->
                assertThat(sentence)
                    .matches("threads [0-9]+ and [0-9]+ share a descriptor table that is not their process's, which cannot be carried"));
  }

  @Test
  void listsFilesAndPortsOfWhatCanBeCarried(@TempDir Path directory) {
    try (var move = Move.begin("tcp", directory)) {
      var survey = DescriptorSurvey.survey(List.of(move.processes().getFirst().pid()));
      assertThat(survey.findings()).isEmpty();
      assertThat(survey.descriptors()).isEqualTo(7);
      assertThat(survey.listeningPorts()).hasSize(2).anyMatch(port -> port.startsWith("tcp 127.0.0.1:"));
      assertThat(survey.listeningPorts()).anyMatch(port -> port.matches("tcp6only \\[0:0:0:0:0:0:0:1]:\\d+"));
      assertThat(survey.files())
          .anySatisfy(
              file -> {
                assertThat(file.path()).contains("/descriptors-");
                assertThat(file.buildId()).matches("[0-9a-f]{40}");
                assertThat(file.sizeBytes()).isPositive();
              });
    }
  }

  @Test
  void aPipeToTheOutsideIsFound() {
    try (var workload = Workload.run("sleep", List.of("sleep", "100"))) {
      Awaitility.await()
          .atMost(Duration.ofSeconds(10))
          .until(() -> Move.linkOf(workload.pid(), 1).startsWith("pipe:"));
      assertThat(DescriptorSurvey.survey(List.of(workload.pid())).findings())
          .anyMatch(finding -> finding.descriptor() == 1 && finding.sentence().contains("not part of the container"));
    }
  }

  @Test
  void aUnixSocketWhoseOtherEndStaysBehindNamesBoth(@TempDir Path directory) throws IOException {
    var name = directory.resolve("server");
    var program = "import socket, sys, time; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); time.sleep(100)";
    try (var server = ServerSocketChannel.open(StandardProtocolFamily.UNIX).bind(UnixDomainSocketAddress.of(name));
        var workload = Workload.run("client", List.of("python3", "-c", program, name.toString()))) {
      Awaitility.await()
          .atMost(Duration.ofSeconds(20))
          .until(
              () ->
                  DescriptorSurvey.survey(List.of(workload.pid())).findings().stream()
                      .anyMatch(finding -> finding.sentence().equals(
                          "it waits to be accepted by a socket outside the container, named " + name)));
      try (var accepted = server.accept()) {
        assertThat(accepted.isConnected()).isTrue();
        assertThat(DescriptorSurvey.survey(List.of(workload.pid())).findings())
            .anySatisfy(
                finding -> {
                  assertThat(finding.kind()).isEqualTo("Unix socket");
                  assertThat(finding.sentence())
                      .startsWith("it is connected to a socket outside the container, named " + name + " (socket:[")
                      .endsWith(" of process " + ProcessHandle.current().pid() + ")");
                });
      }
    }
  }

  /** It is asked for on the way through {@code /proc}, which leads to the open file and not to what has its name now. */
  @Test
  void theStatusOfADescriptorIsThatOfTheOpenFile(@TempDir Path directory) throws IOException {
    var file = directory.resolve("file");
    int self = (int) ProcessHandle.current().pid();
    try (var content = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
        var pipe = Pipe.open().sink();
        var selector = Selector.open();
        var socket = ServerSocketChannel.open();
        var table = DescriptorTable.open(self)) {
      content.write(ByteBuffer.wrap(new byte[77]));
      Files.delete(file);
      Files.writeString(file, "another");
      assertThat(List.of(pipe.isOpen(), selector.isOpen(), socket.isOpen())).doesNotContain(false);
      int removed = 0;
      for (int fd : table.list()) {
        // Others of this process may come and go; these do not.
        if (Fd.fcntl(fd, Fd.F_GETFD, 0) >= 0) {
          var found = table.status(fd);
          var wanted = FileStatus.of(fd);
          assertThat(List.of(found.device(), found.inode(), found.mode(), found.rawDevice()))
              .isEqualTo(List.of(wanted.device(), wanted.inode(), wanted.mode(), wanted.rawDevice()));
          removed += found.links() == 0 && found.size() == 77 ? 1 : 0;
        }
      }
      assertThat(removed).isEqualTo(1);
    }
  }

  /** Of so many that two threads look at them. */
  @Test
  void eachOfManyProcessesHasItsOwnDescriptorsAndThoseOfAll() {
    var script = "exec </dev/null >/dev/null 2>&1 9</etc/passwd; for i in $(seq 20); do (exec 8</etc/passwd sleep 100) & done; exec sleep 100";
    try (var program = Workload.run("many", List.of("sh", "-c", script))) {
      Awaitility.await().atMost(Duration.ofSeconds(10)).until(() -> sleeping(program.pid()).size() == 21);
      var processes = sleeping(program.pid());
      var state = DescriptorCapture.capture(processes).state();
      assertThat(state.getProcessList()).extracting(process -> process.getPid()).isEqualTo(processes.stream().map(ProcessRef::nsPid).toList());
      var own = new HashSet<Integer>();
      var shared = new HashSet<Integer>();
      for (var process : state.getProcessList()) {
        boolean first = process.getPid() == program.pid();
        assertThat(process.getFdList()).extracting(fd -> fd.getFd()).isEqualTo(first ? List.of(0, 1, 2, 9) : List.of(0, 1, 2, 8, 9));
        process.getFdList().stream().filter(fd -> fd.getFd() == 8).forEach(fd -> own.add(fd.getId()));
        process.getFdList().stream().filter(fd -> fd.getFd() == 9).forEach(fd -> shared.add(fd.getId()));
      }
      assertThat(own).hasSize(20).doesNotContainAnyElementsOf(shared);
      assertThat(shared).hasSize(1);
    }
  }

  private static List<ProcessRef> sleeping(int parent) {
    return Stream.concat(Stream.of(parent), ProcessHandle.of(parent).orElseThrow().children().map(child -> (int) child.pid()).sorted())
        .filter(
            pid -> {
              try {
                return Files.readString(Path.of("/proc/" + pid + "/comm")).equals("sleep\n");
              } catch (IOException gone) {
                return false;
              }
            })
        .map(pid -> new ProcessRef(pid, pid))
        .toList();
  }

  @Test
  void aProcessThatIsGoneHasNothing() {
    var survey = DescriptorSurvey.survey(List.of(Integer.MAX_VALUE - 1));
    assertThat(survey.descriptors()).isZero();
    assertThat(survey.findings()).isEmpty();
  }
}
