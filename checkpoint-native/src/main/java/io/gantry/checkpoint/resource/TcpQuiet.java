package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.image.tcp_other_end;
import io.gantry.checkpoint.linux.DescriptorTable;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.NetworkThread;
import io.gantry.checkpoint.linux.Sockets;
import io.gantry.checkpoint.linux.TcpRepair;
import io.gantry.checkpoint.procfs.ThreadGroup;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Collection;

/**
 * Silences the TCP connections of processes that stand still, so that they vanish without a packet when the processes are killed, and
 * wakes them. Any one thread.
 */
public final class TcpQuiet {
  /** {@code struct linger}: on, no time: closing resets the connection ({@code man 7 socket}). */
  private static final byte[] RESET = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putInt(1).putInt(0).array();

  private static final byte[] SOCKET = "socket:[".getBytes(StandardCharsets.US_ASCII);

  private TcpQuiet() {}

  /**
   * Makes sure that the end of these processes is not the end of their connections, which live on elsewhere. Until {@link #wake} the
   * connections cannot be used: call it after the commit. What is left of an other end that was closed before goes too.
   * In a network namespace of their own, which is cut off by then and goes with them, nothing needs to be done.
   *
   * @param networkStays whether such a namespace stays, in which what is left of a connection would keep it from being made again
   */
  public static void silence(Collection<Integer> pids, boolean networkStays) {
    if (!networkStays && pids.stream().anyMatch(NetworkThread::isElsewhere)) {
      return;
    }
    try (var inventory = Inventory.take(pids.stream().map(ThreadGroup::shownAs).map(pid -> new ProcessRef(pid, pid)).toList())) {
      var ends = inventory.tcpEnds();
      for (var end : ends.connected()) {
        boolean alone = ends.otherEnd(end).kind() == tcp_other_end.TCP_CLOSED && ends.otherEnd(end).obstacle().isEmpty();
        onCopy(
            inventory,
            end.seen(),
            copy -> {
              if (alone) {
                Sockets.setOption(copy, Sockets.SOL_SOCKET, SocketOptions.SO_LINGER, RESET);
              } else {
                byte[] reuse = reuse(copy);
                TcpRepair.set(copy, TcpRepair.ON);
                Sockets.setOption(copy, Sockets.SOL_SOCKET, SocketOptions.SO_REUSEADDR, reuse);
              }
            });
      }
    }
  }

  /** Has the connections of these processes go on; idempotent. Those that were not silenced are left alone. */
  public static void wake(Collection<Integer> pids) {
    // Not by an inventory: this is in the pause, and who is connected with whom does not matter.
    for (int pid : pids) {
      try (var table = DescriptorTable.open(ThreadGroup.shownAs(pid))) {
        for (int fd : table.list()) {
          wake(table, fd);
        }
      } catch (KernelException e) {
        if (!Inventory.isGone(e)) {
          throw e;
        }
      }
    }
  }

  private static void wake(DescriptorTable table, int fd) {
    try {
      if (!isSocket(table.link(fd))) {
        return;
      }
      int copy = table.take(fd);
      try {
        if (TcpRepair.isOn(copy).orElse(false)) {
          byte[] reuse = reuse(copy);
          // A window probe has the other end say what has arrived there. Where nothing is on the way it would do harm: the answer to
          // it starts anew the time after which the other end sends again what was lost in the pause.
          boolean owed = TcpRepair.queued(copy, TcpRepair.SIOCOUTQ) > 0;
          TcpRepair.set(copy, owed ? TcpRepair.OFF : TcpRepair.OFF_SILENTLY);
          Sockets.setOption(copy, Sockets.SOL_SOCKET, SocketOptions.SO_REUSEADDR, reuse);
        }
      } finally {
        Fd.close(copy);
      }
    } catch (KernelException e) {
      if (!Inventory.isGone(e)) {
        throw e;
      }
    }
  }

  /** As {@code /proc/PID/fd} shows sockets ({@code man 5 proc_pid_fd}). */
  private static boolean isSocket(byte[] link) {
    return link.length > SOCKET.length && Arrays.equals(link, 0, SOCKET.length, SOCKET, 0, SOCKET.length);
  }

  /** Entering and leaving repair mode changes the option (net/ipv4/tcp.c); within it, it holds what the program has set. */
  private static byte[] reuse(int copy) {
    int value = Sockets.intOption(copy, Sockets.SOL_SOCKET, SocketOptions.SO_REUSEADDR);
    return ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(value).array();
  }

  private interface Act {
    void on(int copy);
  }

  private static void onCopy(Inventory inventory, SeenDescriptor seen, Act act) {
    try {
      int copy = inventory.take(seen);
      try {
        act.on(copy);
      } finally {
        Fd.close(copy);
      }
    } catch (KernelException e) {
      if (!Inventory.isGone(e)) {
        throw e;
      }
    }
  }
}
