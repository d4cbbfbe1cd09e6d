# SPDX-License-Identifier: Apache-2.0
#
# One end of a conversation in a guest, which has no Python. Perl is in every Debian, and needs no modules for sockets
# (strict and warnings are modules, too):
#   peer.pl serve tcp|udp ADDRESS PORT NAME    prints each line, and answers "NAME saw ADDRESS say LINE"
#   peer.pl talk tcp|udp FROM ADDRESS PORT     sends each line of its input from port FROM, and prints the answers

my ($INET, $SOCKET, $REUSE, $TIMEOUT) = (2, 1, 2, 20);    # Linux's numbers: there is no module to ask
my $TRIES = 3;                                            # of a datagram, which may be lost

sub endpoint { my ($address, $port) = @_; return pack('S n C4 x8', $INET, $port, split(/\./, $address)); }
sub address_in { my (undef, undef, @bytes) = unpack('S n C4', $_[0]); return join('.', @bytes); }

sub open_at {
    my ($protocol, $address, $port) = @_;
    socket(my $socket, $INET, $protocol eq 'tcp' ? 1 : 2, 0) or die "socket: $!\n";
    setsockopt($socket, $SOCKET, $REUSE, pack('l', 1)) or die "reuse: $!\n";
    bind($socket, endpoint($address, $port)) or die "bind $address:$port: $!\n";
    return $socket;
}

sub serve {
    my ($protocol, $address, $port, $name) = @_;
    my $socket = open_at($protocol, $address, $port);
    local $SIG{CHLD} = 'IGNORE';
    if ($protocol eq 'udp') {
        while (defined(my $from = recv($socket, my $line, 1500, 0))) {
            print $line;
            send($socket, "$name saw " . address_in($from) . " say $line", 0, $from);
        }
        die "recv: $!\n";
    }
    listen($socket, 10) or die "listen: $!\n";
    while (my $from = accept(my $connection, $socket)) {
        next if fork;
        my $who = address_in($from);
        while (sysread($connection, my $line, 1500)) {
            print $line;
            syswrite($connection, "$name saw $who say $line");
        }
        exit;
    }
    die "accept: $!\n";
}

# Nothing is printed for what has no answer: who waits for one waits in vain.
sub talk {
    my ($protocol, $from, $address, $port) = @_;
    my $socket = open_at($protocol, '0.0.0.0', $from);
    connect($socket, endpoint($address, $port)) or die "connect: $!\n";
    setsockopt($socket, $SOCKET, $TIMEOUT, pack('q q', 4, 0)) or die "timeout: $!\n";
    while (my $line = <STDIN>) {
        my $tries = $protocol eq 'tcp' ? 1 : $TRIES;
        my $answer;
        while ($tries-- > 0 && !$answer) {
            syswrite($socket, $line) or die "send: $!\n";
            sysread($socket, $answer, 1500);
        }
        print $answer if $answer;
    }
    return;
}

$| = 1;
my $what = shift;
$what eq 'serve' ? serve(@ARGV) : talk(@ARGV);
