package io.gantry.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.checkpoint.Capture.RoundReport;
import io.gantry.checkpoint.memory.LoopbackSink;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * What a container does between two rounds of pre-copy, or between the last one and the freeze, step by step: a program waits for a file, changes itself, and
 * says in a file that it has.
 */
class ChangeBetweenRoundsTest {
  private static final Duration LONGEST = Duration.ofSeconds(20);

  private static final String PYTHON =
      """
      import ctypes, mmap, os, sys, time
      directory = sys.argv[1]
      libc = ctypes.CDLL(None, use_errno=True)
      libc.mmap.restype = ctypes.c_void_p
      def wait_for(name):
          while not os.path.exists(os.path.join(directory, name)):
              time.sleep(0.002)
      def say(name, text=""):
          with open(os.path.join(directory, name + ".new"), "w") as file:
              file.write(text)
          os.rename(os.path.join(directory, name + ".new"), os.path.join(directory, name))
      """;

  @TempDir Path directory;

  private final LiveEngine engine = new LiveEngine("change-" + ProcessHandle.current().pid());
  private ContainerHandle container;

  @AfterEach
  void nothingIsLeft() {
    if (container != null) {
      engine.destroy(container);
    }
    engine.close();
  }

  private void python(String body) throws IOException {
    Path script = Files.writeString(directory.resolve("program.py"), PYTHON + body);
    run("/usr/bin/python3", script.toString(), directory.toString());
  }

  private void run(String... command) throws IOException {
    var own = Files.createDirectories(directory.resolve("original"));
    container =
        engine.create(new ContainerSpec("original", List.of(command), Map.of("PATH", "/usr/bin:/bin"), directory, own));
    awaitSaid("begun");
  }

  private void order(String name) throws IOException {
    Files.createFile(directory.resolve(name));
  }

  private void awaitSaid(String name) {
    Awaitility.await(name).atMost(LONGEST).pollInterval(Duration.ofMillis(2)).until(() -> Files.exists(directory.resolve(name)));
  }

  private String said(String name) throws IOException {
    awaitSaid(name);
    return Files.readString(directory.resolve(name));
  }

  /** Something that is done while the container runs. */
  private interface Change {
    void make() throws Exception;
  }

  /** Moves it within this host, every page compared; returns the report of the round that follows the change when there is one. */
  private RoundReport move(Change change, boolean roundAfterwards) throws Exception {
    var own = Files.createDirectories(directory.resolve("copy"));
    try (var capture = engine.capture(container, new CaptureOptions(true));
        var arrival = engine.receive("copy", own)) {
      var sink = new LoopbackSink(arrival);
      var report = capture.round(sink);
      change.make();
      if (roundAfterwards) {
        report = capture.round(sink);
      }
      capture.freeze();
      var last = capture.sendLast(sink);
      capture.hold();
      var held = arrival.complete();
      assertThat(held.digest()).isEqualTo(last.digest());
      arrival.activate();
      capture.destroyOriginal();
      container = held.container();
      return report;
    }
  }

  private char stateOfChild() throws IOException {
    var child = ProcessHandle.of(container.initPid()).flatMap(init -> init.children().findFirst());
    if (child.isEmpty()) {
      return '-';
    }
    String stat = Files.readString(Path.of("/proc/" + child.get().pid() + "/stat"));
    return stat.charAt(stat.lastIndexOf(')') + 2);
  }

  @Test
  void aChildThatEndsAfterItsMemoryWasSentArrivesAsAZombieWithItsStatus() throws Exception {
    python(
        """
        child = os.fork()
        if child == 0:
            wait_for("end")
            os._exit(7)
        say("begun")
        wait_for("reap")
        say("reaped", str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
        wait_for("never")
        """);
    move(
        () -> {
          order("end");
          Awaitility.await("a zombie").atMost(LONGEST).until(() -> stateOfChild() == 'Z');
        },
        false);
    order("reap");
    assertThat(said("reaped")).isEqualTo("7");
  }

  /** The plan of the tree and the order in which memory is sent do not name the families in the same order. */
  @Test
  void childrenOfSeveralProcessesHaveWhatTheirParentsWroteJustBefore() throws Exception {
    python(
        """
        def content(name, turn):
            return (name + turn).encode().ljust(8) * 3000
        data = bytearray(content("", "before"))
        def parent(name):
            for turn in "first", "second":
                wait_for(name + "-" + turn)
                data[:] = content(name, turn)
                child = os.fork()
                if child == 0:
                    wait_for("look")
                    say(name + "-" + turn + "-looked", str(data == content(name, turn)))
                    os._exit(0)
                say(name + "-" + turn + "-forked")
            wait_for("never")
        for name in "abc":
            if os.fork() == 0:
                parent(name)
        say("begun")
        wait_for("never")
        """);
    var changes = List.of("c-first", "b-first", "a-first", "b-second", "a-second", "c-second");
    move(
        () -> {
          for (var change : changes) {
            order(change);
            awaitSaid(change + "-forked");
          }
        },
        false);
    order("look");
    for (var change : changes) {
      assertThat(said(change + "-looked")).as(change).isEqualTo("True");
    }
  }

  @Test
  void memoryThatBecomesReadableBetweenRoundsIsReadableAfterwards() throws Exception {
    python(
        """
        size = 1 << 20
        # 0x4022: MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, without any access, as reservations are made.
        address = libc.mmap(None, ctypes.c_size_t(size), 0, 0x4022, -1, ctypes.c_long(0))
        say("begun")
        wait_for("protect")
        assert libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(size), mmap.PROT_READ) == 0
        say("protected")
        wait_for("read")
        say("content", str(sum(ctypes.string_at(address, size))))
        wait_for("never")
        """);
    move(
        () -> {
          order("protect");
          awaitSaid("protected");
        },
        true);
    order("read");
    assertThat(said("content")).isEqualTo("0");
  }

  @Test
  void anExecBetweenRoundsIsFollowed() throws Exception {
    Path next =
        Files.writeString(
            directory.resolve("next.py"),
            PYTHON
                + """
                memory = bytearray(range(256)) * 4096
                say("executed")
                wait_for("check")
                say("checked", str(memory == bytearray(range(256)) * 4096))
                wait_for("never")
                """);
    python(
        """
        say("begun")
        wait_for("exec")
        os.execv("/usr/bin/python3", ["another", os.path.join(directory, "next.py"), directory])
        """);
    assertThat(next).exists();
    move(
        () -> {
          order("exec");
          awaitSaid("executed");
        },
        true);
    order("check");
    assertThat(said("checked")).isEqualTo("True");
    assertThat(Files.readString(Path.of("/proc/" + container.initPid() + "/cmdline"))).startsWith("another\0");
  }

  @Test
  void anExecAfterTheLastRoundIsFollowed() throws Exception {
    python(
        """
        if len(sys.argv) == 2:
            say("begun")
            wait_for("exec")
            os.execv("/usr/bin/python3", ["another", sys.argv[0], directory, "again"])
        memory = bytearray(range(256)) * 4096
        say("executed")
        wait_for("check")
        say("checked", str(memory == bytearray(range(256)) * 4096))
        wait_for("never")
        """);
    move(
        () -> {
          order("exec");
          awaitSaid("executed");
        },
        false);
    order("check");
    assertThat(said("checked")).isEqualTo("True");
  }

  @Test
  void pagesThatAreDroppedCountAsZeroPagesAndNotAgainstOthers() throws Exception {
    python(
        """
        size = 32 << 20
        memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        memory[:] = b"x" * size
        say("begun")
        wait_for("drop")
        memory.madvise(mmap.MADV_DONTNEED)
        say("dropped")
        wait_for("read")
        say("content", str(memory.find(b"x")))
        wait_for("never")
        """);
    RoundReport report =
        move(
            () -> {
              order("drop");
              awaitSaid("dropped");
            },
            true);
    assertThat(report.zeroPages()).isBetween(8192L, 9000L);
    assertThat(report.pages()).as("pages with content, of a program that waits").isBetween(0L, 2000L);
    order("read");
    assertThat(said("content")).isEqualTo("-1");
  }

  @Test
  void aMappingThatGrowsAndMovesIsStillOneMapping() throws Exception {
    python(
        """
        libc.mremap.restype = ctypes.c_void_p
        page = 4096
        def map_at(address, pages):
            found = libc.mmap(ctypes.c_void_p(address), ctypes.c_size_t(pages * page), 3, 0x22 | (0x100000 if address else 0), -1, ctypes.c_long(0))
            ctypes.memset(found, 1, pages * page)
            return found
        def unmap(address, pages):
            assert libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(pages * page)) == 0
        # Two mappings, each with a history of its own, where there is room for both.
        room = map_at(0, 300)
        unmap(room, 300)
        low = map_at(room + 100 * page, 50)
        high = map_at(room + 200 * page, 50)
        say("begun")
        wait_for("change")
        # Now one mapping lies where both of them and the gap between them were.
        unmap(low, 50)
        unmap(high, 50)
        whole = map_at(room + 100 * page, 150)
        say("changed")
        wait_for("resize")
        moved = libc.mremap(ctypes.c_void_p(whole), ctypes.c_size_t(150 * page), ctypes.c_size_t(280 * page), 1)
        say("resized", "failed" if moved in (None, 2**64 - 1) else str(ctypes.string_at(moved, 150 * page) == b"\\1" * (150 * page)))
        wait_for("never")
        """);
    move(
        () -> {
          order("change");
          awaitSaid("changed");
        },
        true);
    order("resize");
    assertThat(said("resized")).isEqualTo("True");
  }
}
