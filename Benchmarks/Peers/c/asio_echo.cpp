// Boost.Asio, echo: a C++20 coroutine for each connection, with its buffer in the coroutine's frame. One thread, so the
// context is told to use no locks (BOOST_ASIO_CONCURRENCY_HINT_UNSAFE).
#include "peer.h"

#include <exception>
#include <utility>

#include <boost/asio.hpp>

namespace asio = boost::asio;
using asio::ip::tcp;

static asio::awaitable<void> echo(tcp::socket socket) {
    try {
        char bytes[READ_SIZE];
        while (true) {
            std::size_t count = co_await socket.async_read_some(asio::buffer(bytes), asio::use_awaitable);
            co_await asio::async_write(socket, asio::buffer(bytes, count), asio::use_awaitable);
        }
    } catch (const boost::system::system_error &) {
        // The end of the stream comes like this as well.
    }
}

static asio::awaitable<void> serve(tcp::acceptor &acceptor) {
    while (true) {
        tcp::socket socket = co_await acceptor.async_accept(asio::use_awaitable);
        // It fails for a connection that is already over, and the first read tells.
        boost::system::error_code ignored;
        socket.set_option(tcp::no_delay(true), ignored);
        asio::co_spawn(acceptor.get_executor(), echo(std::move(socket)), asio::detached);
    }
}

int main(int count, char **words) {
    int port = begin_server(count, words);
    asio::io_context context(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE);
    tcp::endpoint address(asio::ip::address_v4::loopback(), static_cast<unsigned short>(port));
    tcp::acceptor acceptor(context);
    acceptor.open(address.protocol());
    acceptor.set_option(tcp::acceptor::reuse_address(true));
    acceptor.bind(address);
    acceptor.listen(BACKLOG);
    asio::co_spawn(context, serve(acceptor), [](std::exception_ptr error) {
        if (error) std::rethrow_exception(error);
    });
    context.run();
}
