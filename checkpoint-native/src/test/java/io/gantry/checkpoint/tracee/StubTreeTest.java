package io.gantry.checkpoint.tracee;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.ProcessVm;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.testing.StubHost;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.RegisterExtension;

/** Stubs are real processes. Needs root. */
@Timeout(60)
class StubTreeTest {
  private static final Duration LIMIT = Duration.ofSeconds(10);

  @RegisterExtension final StubHost box = new StubHost();

  private void traced(Runnable task) {
    box.tracer().run(task, LIMIT);
  }

  @Test
  void processesGetTheIdsThatWereAskedFor() {
    traced(
        () -> {
          try (var tree = box.begin()) {
            var init = tree.root();
            var child = tree.fork(init, 77);
            var grandchild = tree.fork(child, 30000);
            assertThat(init.call("getpid", SyscallNumber.GETPID)).isEqualTo(1);
            assertThat(child.call("getpid", SyscallNumber.GETPID)).isEqualTo(77);
            assertThat(child.call("getppid", SyscallNumber.GETPPID)).isEqualTo(1);
            assertThat(grandchild.call("getpid", SyscallNumber.GETPID)).isEqualTo(30000);
            assertThat(grandchild.call("getppid", SyscallNumber.GETPPID)).isEqualTo(77);
            assertThat(box.cgroup().processes()).containsExactlyInAnyOrder(init.pid(), child.pid(), grandchild.pid());
            assertThat(TaskStatus.read(Integer.toString(grandchild.pid())).orElseThrow().nsPid()).isEqualTo(30000);
            assertThatThrownBy(() -> tree.fork(init, 77)).hasMessageContaining("77 is taken");
          }
          assertThat(box.cgroup().processes()).isEmpty();
        });
  }

  @Test
  void aStubHoldsNothingButBenchStackAndTheKernelsMappings() {
    traced(
        () -> {
          try (var tree = box.begin()) {
            var maps = Mapping.of(tree.root().pid());
            assertThat(maps.getFirst().start()).isEqualTo(tree.root().benchStart());
            assertThat(maps.getFirst().end()).isEqualTo(tree.root().benchStart() + tree.root().benchBytes());
            assertThat(maps.stream().skip(1).map(Mapping::name)).allMatch(name -> name.startsWith("["));
            assertThat(new java.io.File("/proc/" + tree.root().pid() + "/fd").list()).isEmpty();
          }
        });
  }

  @Test
  void aForkedStubSharesItsParentsMemoryCopyOnWrite() {
    traced(
        () -> {
          try (var tree = box.begin()) {
            var init = tree.root();
            long address = init.call("mmap", SyscallNumber.MMAP, 0x4000_0000L, 4096, 3, 0x22, -1, 0);
            ProcessVm.write(init.pid(), address, new byte[] {1, 2, 3}, 3);
            var child = tree.fork(init, 5);
            assertThat(ProcessVm.read(child.pid(), address, 3)).containsExactly(1, 2, 3);
            ProcessVm.write(init.pid(), address, new byte[] {9}, 1);
            assertThat(ProcessVm.read(child.pid(), address, 3)).containsExactly(1, 2, 3);
          }
        });
  }

  @Test
  void theBenchMovesAndGoesAway() {
    traced(
        () -> {
          try (var tree = box.begin()) {
            var init = tree.root();
            init.moveBench(0x5000_0000L);
            assertThat(init.benchStart()).isEqualTo(0x5000_0000L);
            assertThat(Mapping.of(init.pid()).getFirst().start()).isEqualTo(0x5000_0000L);
            assertThat(init.call("getpid", SyscallNumber.GETPID)).isEqualTo(1);
            var vdso = Mapping.of(init.pid()).stream().filter(m -> m.name().equals(Mapping.VDSO)).findFirst().orElseThrow();
            init.unmapBenchLast(Vdso.systemCallAddress(init.pid(), vdso.start(), (int) (vdso.end() - vdso.start())));
            assertThat(Mapping.of(init.pid())).allMatch(m -> m.name().startsWith("["));
          }
        });
  }

  @Test
  void theBenchesOfATreeGoAwayTogether() {
    traced(
        () -> {
          try (var tree = box.begin()) {
            for (int pid = 20; pid < 40; pid++) {
              tree.fork(tree.root(), pid).moveBench(0x5000_0000L + 0x10_0000L * pid);
            }
            var last = new LinkedHashMap<Stub, Long>();
            for (var stub : tree.stubs()) {
              var vdso = Mapping.of(stub.pid()).stream().filter(m -> m.name().equals(Mapping.VDSO)).findFirst().orElseThrow();
              last.put(stub, Vdso.systemCallAddress(stub.pid(), vdso.start(), (int) (vdso.end() - vdso.start())));
            }
            Stub.unmapBenchesLast(last);
            for (var stub : tree.stubs()) {
              assertThat(Mapping.of(stub.pid())).allMatch(m -> m.name().startsWith("["));
              // Behind a system call's exit the kernel would not restart what the final registers say is to be restarted.
              assertThat(TaskStatus.read(Integer.toString(stub.pid())).orElseThrow().state()).isEqualTo('t');
            }
          }
        });
  }

  @Test
  void fiveHundredThreadsStartWithChosenIds() {
    int[] wanted = IntStream.range(0, 500).map(i -> 1000 + 3 * i).toArray();
    traced(
        () -> {
          try (var tree = box.begin()) {
            var threads = tree.root().startThreads(wanted);
            assertThat(threads.stream().mapToInt(StubThread::nsTid).toArray()).isEqualTo(wanted);
            for (var thread : new StubThread[] {threads.getFirst(), threads.get(250), threads.getLast()}) {
              assertThat(thread.call("gettid", SyscallNumber.GETTID)).isEqualTo(thread.nsTid());
              assertThat(thread.call("getpid", SyscallNumber.GETPID)).isEqualTo(1);
            }
            assertThat(Files.list(Path.of("/proc/" + tree.root().pid() + "/task")).count()).isEqualTo(501);
          } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
          }
        });
    assertThat(box.cgroup().processes()).isEmpty();
  }

  @Test
  void heldStubsStayFrozenWhenTheTracerIsGone() {
    var freezer = new Freezer(box.cgroup().path());
    traced(
        () -> {
          var tree = box.begin();
          tree.fork(tree.root(), 12);
          tree.root().startThreads(new int[] {13, 14});
          tree.holdAll(freezer, LIMIT);
          tree.close();
        });
    box.tracer().close();
    assertThat(freezer.isFrozen()).isTrue();
    assertThat(box.cgroup().processes()).hasSize(2);
    for (int pid : box.cgroup().processes()) {
      assertThat(TaskStatus.read(Integer.toString(pid)).orElseThrow().tracerPid()).isZero();
    }
  }

  @Test
  void stubsDieWithTheirTracer() {
    var dying = new TracerThread("tracer that dies");
    dying.run(
        () -> {
          var tree = box.begin();
          tree.fork(tree.root(), 12).startThreads(new int[] {13, 14});
        },
        LIMIT);
    assertThat(box.cgroup().processes()).hasSize(2);
    dying.close();
    await().atMost(LIMIT).until(() -> box.cgroup().processes().isEmpty());
  }

  @Test
  void idsInTheHostsNamespaceAreGivenOrRefusedWithASentence() {
    traced(
        () -> {
          assertThatThrownBy(() -> StubTree.beginInHostNamespaces((int) ProcessHandle.current().pid(), box.cgroup().path()))
              .hasMessageContaining("is taken on this host");
          int free = IntStream.range(20000, 30000).filter(pid -> !Files.exists(Path.of("/proc/" + pid))).findFirst().orElseThrow();
          try (var tree = StubTree.beginInHostNamespaces(free, box.cgroup().path())) {
            assertThat(tree.root().pid()).isEqualTo(free);
            assertThat(tree.root().call("getpid", SyscallNumber.GETPID)).isEqualTo(free);
            var child = tree.fork(tree.root(), free + 1 + (int) (System.nanoTime() % 5));
            assertThat(child.call("getppid", SyscallNumber.GETPPID)).isEqualTo(free);
          }
        });
    assertThat(box.cgroup().processes()).isEmpty();
  }

  @Test
  void aFailedCallInAStubIsASentence() {
    traced(
        () -> {
          try (var tree = box.begin()) {
            assertThatThrownBy(() -> tree.root().call("closing descriptor 5", SyscallNumber.CLOSE, 5))
                .hasMessageContaining("closing descriptor 5")
                .hasMessageContaining(Errno.describe(Errno.EBADF));
          }
        });
  }
}
